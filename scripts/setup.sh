# Makes Bun and the dependencies available to scripts/quickstart and scripts/test, and sets `bun`; to be sourced in the root.

# The version that package.json pins; any Bun from 1.4 on builds the same program.
bun_version=$(sed -n 's/.*"packageManager": "bun@\([0-9.]*\)".*/\1/p' package.json)

# True for a Bun that runs on this machine and is 1.4 or later.
is_fit() {
  case $("$1" --version 2>/dev/null) in
    '' | 0.* | 1.[0-3].*) return 1 ;;
  esac
}

# npm leaves builds for several processors and C libraries: the first that runs is the one.
find_bun() {
  for candidate in .tools/node_modules/@oven/bun-*/bin/bun "$(command -v bun || true)"; do
    if [ -x "$candidate" ] && is_fit "$candidate"; then
      case $candidate in
        /*) bun=$candidate ;;
        *) bun=$PWD/$candidate ;;
      esac
      return 0
    fi
  done
  return 1
}

if ! find_bun; then
  if ! command -v npm >/dev/null; then
    echo 'setup: Bun 1.4 or later, or Node.js with npm to install it with, is needed' >&2
    exit 1
  fi
  echo "setup: installing Bun $bun_version into .tools" >&2
  npm install --prefix .tools --no-save --no-audit --no-fund --no-update-notifier --ignore-scripts --loglevel=error "bun@$bun_version" >&2
  if ! find_bun; then
    echo "setup: npm installed Bun $bun_version, but no build of it runs on this machine" >&2
    exit 1
  fi
fi

# Offline when nothing has changed since the last time.
wanted=$(cat package.json bun.lock | cksum)
if [ "$(cat node_modules/.installed 2>/dev/null || true)" != "$wanted" ]; then
  "$bun" install --frozen-lockfile --ignore-scripts --no-summary >&2
  echo "$wanted" >node_modules/.installed
fi

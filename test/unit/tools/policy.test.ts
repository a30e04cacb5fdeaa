// The command policy against the tricks by which a command hides in a command line.
import { describe, expect, test } from 'bun:test';
import {
  type CommandPolicy,
  defaultBlockedCommands,
  judgeArguments,
  judgeScript,
  readOnlyCommands,
} from '../../../src/tools/policy.ts';

const onlyListing: CommandPolicy = {
  allowed: ['ls', 'echo', 'git status', '/opt/tool/run'],
  blocked: [],
  isReadOnly: false,
};
const noRemoving: CommandPolicy = { blocked: ['rm', 'git push', 'mkfs.*'], isReadOnly: false };
const reading: CommandPolicy = { allowed: readOnlyCommands, blocked: [], isReadOnly: true };

/** Each line runs rm in sh or bash, or may. */
const hidden = [
  'rm x',
  'ls; rm x',
  'ls;rm x',
  'ls && rm x',
  'ls || rm x',
  'ls | rm x',
  'ls |& rm x',
  'ls & rm x',
  'ls\nrm x',
  '/bin/rm x',
  './rm x',
  '"rm" x',
  "r'm' x",
  'r\\m x',
  '\\rm x',
  'A=1 rm x',
  'A=1 B="2 3" rm x',
  '(rm x)',
  '{ rm x; }',
  '! rm x',
  'if true; then rm x; fi',
  'while rm x; do break; done',
  'for f in a b; do rm $f; done',
  'for f in $(rm x); do ls; done',
  'echo $(rm x)',
  'echo "$(rm x)"',
  'echo "${y:-$(rm x)}"',
  'echo ${y:-$(rm x)}',
  'echo `rm x`',
  'echo "`rm x`"',
  'echo <(rm x)',
  'echo $((1)) $(echo $(rm x))',
  'echo "a $(echo "b $(rm x)")"',
  'cat <<EOF\n$(rm x)\nEOF',
  'cat <<EOF\ntext\nEOF\nrm x',
  'cat <<-EOF\n\ttext\n\tEOF\nrm x',
  'cat > $(rm x)',
  'env rm x',
  'env -i A=1 rm x',
  'env -u A rm x',
  'sudo rm x',
  'sudo -u root rm x',
  'sudo --user root rm x',
  'nohup rm x',
  'nohup nice -n 5 rm x',
  'timeout 5 rm x',
  'timeout -k 1 -s KILL 5 rm x',
  'timeout --signal=KILL 5 rm x',
  'time rm x',
  'time -p rm x',
  'time if rm x; then ls; fi',
  'exec rm x',
  'exec -a ls rm x',
  'command rm x',
  'command -p rm x',
  'builtin command rm x',
  'chroot / rm x',
  'flock lock rm x',
  'taskset 1 rm x',
  'setpriv --reuid 1 rm x',
  'unshare -r rm x',
  'su -c "rm x"',
  'script -qc "rm x" /dev/null',
  'watch -n 1 rm x',
  'systemd-run --user rm x',
  'strace -f rm x',
  '/lib64/ld-linux-x86-64.so.2 /bin/rm x',
  'ld.so /bin/rm x',
  'env flock lock rm x',
  'ls | xargs rm',
  'ls | xargs -n 1 rm',
  'ls | xargs -I{} rm {}',
  'ls | xargs --replace rm {}',
  'echo rm | xargs -I% % x',
  'echo rm | xargs -Ils ls x',
  'echo rm x | xargs env',
  'echo rm x | xargs sh -c',
  'echo "rm x" | xargs -I{} sh -c "{}"',
  'echo "rm x" | sh',
  'sh <<EOF\nrm x\nEOF',
  'bash -s < file',
  "sh -c 'rm x'",
  "bash -ec 'ls; rm x'",
  `sh -c "sh -c 'rm x'"`,
  'sh -c "$SCRIPT"',
  'eval rm x',
  "eval 'ls; rm x'",
  'eval "$X"',
  'find . -exec rm {} ;',
  'find . -name "*.o" -exec rm {} +',
  "find . -exec sh -c 'rm x' \\;",
  'find . -exec {} \\;',
  'busybox rm x',
  'stdbuf -oL rm x',
  'setsid rm x',
  '$CMD x',
  '$(echo rm) x',
  'r${empty}m x',
  '{rm,x}',
  '/bin/r? x',
  '/bin/[r]m x',
  "$'\\x72m' x",
  'ls # comment\nrm x',
  "ls '#' ; rm x",
  'ls \\\n; rm x',
  'i\\\nf rm x; then ls; fi',
  'cat <\\\n<EOF\nEOF\nrm x',
  'echo "$\\\n(rm x)"',
  "x='a[$(rm x)]'; echo $((x))",
  "printf -v 'a[$(rm x)]' y",
  "test -v 'a[$(rm x)]'",
  "y='$(rm x)'; echo ${y@P}",
  "[[ -v 'a[$(rm x)]' ]]",
  'coproc rm x',
  'f() { rm x; }; f',
  'function f { rm x; }; f',
  'case a in a) rm x;; esac',
  'alias ls=rm\nls x',
  "trap 'rm x' EXIT",
  'source ./script',
  '. ./script',
  'hash -p /bin/rm ls; ls x',
  'PATH=/tmp/own:$PATH ls',
  'export PATH=/tmp/own; ls',
  'for PATH in /tmp/own; do ls; done',
  'LD_PRELOAD=/tmp/x.so ls',
  'env PATH=/tmp/own ls',
  'BASH_ENV=/tmp/x bash script',
  "ls 'unclosed",
  'ls "unclosed',
  'ls $(unclosed',
  'ls `unclosed',
  'ls )',
  'cat <<EOF\nno end',
  'RM x',
  'ls &> log rm x',
];

describe('a block-list', () => {
  test.each(hidden)('refuses %j', (script) => {
    expect(judgeScript(script, noRemoving).isAllowed).toBe(false);
  });

  test.each([
    'ls rm',
    'echo "rm x"',
    "echo 'a; rm x'",
    'echo rm; ls -l | grep rm > rm.txt 2>&1',
    'cat <<EOF\nrm x\nEOF',
    "cat <<'EOF'\n$(rm x)\nEOF",
    'git -C x pull',
    'for f in *.txt; do echo "$f ${f%.txt}" $((1 + 2)); done',
    'if [ -f a ]; then cat a; else echo none; fi',
    'A=1 B=$(date) make -j2 2>/dev/null &> log',
    'bash script.sh',
    'find . -name "*.rm" -exec ls {} \\;',
    "awk '{ print $1 }' file | sed 's/[a-z]*$//'",
    'echo a \\\n  b',
    'command -v rm',
    '',
    '# only a comment',
  ])('lets %j run', (script) => {
    expect(judgeScript(script, noRemoving)).toEqual({ isAllowed: true });
  });

  test('finds the words of an entry among options, and patterns in names', () => {
    expect(judgeScript('git -C /tmp push --force', noRemoving).isAllowed).toBe(false);
    expect(judgeScript('git $X', noRemoving).isAllowed).toBe(false);
    expect(judgeScript('mkfs.ext4 /dev/sda', noRemoving).isAllowed).toBe(false);
    for (const script of ['chmod 777 x', 'find . -name x -delete', 'git -C . clean -fdx', 'unlink x']) {
      expect(judgeScript(script, { blocked: defaultBlockedCommands, isReadOnly: false }).isAllowed).toBe(false);
    }
    expect(judgeScript('find . -name x', { blocked: defaultBlockedCommands, isReadOnly: false }).isAllowed).toBe(true);
    expect(judgeScript('flock lock make', { allowed: ['flock'], blocked: [], isReadOnly: false }).isAllowed).toBe(true);
  });

  test('judges arguments without a shell', () => {
    expect(judgeArguments(['/bin/rm', 'x'], noRemoving).isAllowed).toBe(false);
    expect(judgeArguments(['sh', '-c', 'rm x'], noRemoving).isAllowed).toBe(false);
    expect(judgeArguments(['echo', '; rm x'], noRemoving)).toEqual({ isAllowed: true });
  });

  test('survives very deep and very long text', () => {
    expect(judgeScript('$('.repeat(50_000), noRemoving).isAllowed).toBe(false);
    expect(judgeScript(`${'('.repeat(20)}rm x${')'.repeat(20)}`, noRemoving).isAllowed).toBe(false);
    expect(judgeScript(`echo ${'a'.repeat(200_000)}`, noRemoving).isAllowed).toBe(false);
    expect(judgeScript(`echo ${'${a:-'.repeat(12_000)}`, noRemoving).isAllowed).toBe(false);
  });
});

describe('an allow-list', () => {
  test.each(hidden)('refuses %j', (script) => {
    expect(judgeScript(script, onlyListing).isAllowed).toBe(false);
  });

  test.each(['ls -l && echo "$HOME"', '/bin/ls', 'git status --short', 'cd /tmp; ls', 'exec ls', '/opt/tool/run fast'])(
    'lets %j run',
    (script) => {
      expect(judgeScript(script, onlyListing)).toEqual({ isAllowed: true });
    },
  );

  test.each(['./ls', '/tmp/own/ls', 'git push', 'git -c alias.x=!rm x', 'git $X', 'ls; cat x', 'run', 'env ls'])(
    'refuses %j',
    (script) => {
      expect(judgeScript(script, onlyListing).isAllowed).toBe(false);
    },
  );

  test('an empty list allows nothing, a star everything that can be judged', () => {
    expect(judgeScript('ls', { allowed: [], blocked: [], isReadOnly: false }).isAllowed).toBe(false);
    expect(judgeScript('ls; /x/y', { allowed: ['*', '/x/y'], blocked: [], isReadOnly: false }).isAllowed).toBe(true);
  });
});

describe('reading only', () => {
  test.each([
    'cat a | grep b | sort | uniq -c | head -5',
    'find . -name "*.ts" -type f 2>/dev/null | xargs wc -l',
    'git log --oneline -5; git diff HEAD',
    'ls > /dev/null 2>&1',
    'for f in *; do stat "$f"; done',
  ])('lets %j run', (script) => {
    expect(judgeScript(script, reading)).toEqual({ isAllowed: true });
  });

  test.each([
    'echo x > file',
    'echo x >> file',
    'echo x &> file',
    'echo x >| file',
    'echo x >& file',
    'cat <> file',
    'echo x > "$FILE"',
    'find . -delete',
    'find . -fprint out',
    'find . $ACTION',
    'find . -exec touch {} +',
    'echo -delete | xargs find .',
    'sort -o out in',
    'sort -uoout in',
    'sort --output=out in',
    'sort --compress-program=./x in',
    'date -s 2020-01-01',
    'uniq in out',
    'echo x | uniq - out',
    'uniq -- -in out',
    'sort --comp=./x in',
    'file --comp -m x',
    'tree -o out',
    'git diff --output=out',
    'git commit -m x',
    'git -c core.pager=./x log',
    'GIT_EXTERNAL_DIFF=./x git diff',
    'sed -i s/a/b/ f',
    'tee out',
    'awk \'BEGIN { system("x") }\'',
    'python3 -c 1',
    'sh -c ls',
  ])('refuses %j', (script) => {
    expect(judgeScript(script, reading).isAllowed).toBe(false);
  });
});

test('without a policy nothing is judged', () => {
  expect(judgeScript("rm 'unclosed", { blocked: [], isReadOnly: false })).toEqual({ isAllowed: true });
});

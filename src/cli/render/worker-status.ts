// What `worker status` and `worker list` say to people: plain words, aligned, within the width of the terminal.
import { formatDuration } from '../../lib/duration.ts';
import type { Reachability, WorkerState, WorkerStatus } from '../../protocol/instance.ts';
import type { Worker } from '../../protocol/control-plane.ts';
import type { Sink, Style } from '../output.ts';
import type { Column } from '../table.ts';

/** A label, what stands beside it (none: no row), and how it looks. */
type Row = readonly [label: string, text: string | null, style?: Style | undefined];

/** `nowMs` is what every age is measured to. */
export function workerStatusText(status: WorkerStatus, sink: Sink, nowMs: number): string {
  const rows = [...stateRows(status, nowMs), ...workRows(status), ...placeRows(status)];
  const shown = rows.flatMap(([label, text, style]) => (text === null ? [] : [rowText(label, text, style, sink)]));
  const tail = (status.log_tail ?? []).map((line) => `  ${fitted(sink.foreign(line), sink, 2)}`);
  const log = tail.length === 0 ? [] : ['', sink.style('bold', 'Last lines of the log:'), ...tail];
  return [...shown, ...log].join('\n');
}

/** Columns of the label, the longest of which is `control plane`. */
const labelColumns = 15;

function rowText(label: string, text: string, style: Style | undefined, sink: Sink): string {
  const lines = wrapped(sink.foreign(text), (sink.columns ?? Infinity) - labelColumns);
  const styled = lines.map((line) => (style === undefined ? line : sink.style(style, line)));
  return `${sink.style('bold', label.padEnd(labelColumns))}${styled.join(`\n${' '.repeat(labelColumns)}`)}`;
}

/** At spaces; a word that is longer than a line (a path, a URL) stays whole, so that it can be copied. */
function wrapped(text: string, width: number): string[] {
  const lines: string[] = [];
  let line = '';
  for (const word of text.split(/\s+/)) {
    if (line !== '' && line.length + 1 + word.length > width) {
      lines.push(line);
      line = word;
    } else line = line === '' ? word : `${line} ${word}`;
  }
  return [...lines, line];
}

function stateRows(status: WorkerStatus, nowMs: number): Row[] {
  const { state, healthy, state_since, reason, next_start_at, warnings } = status;
  const health = state === 'running' ? (healthy ? ' and healthy' : ', but not healthy') : '';
  const since = state_since === null ? '' : `, since ${state_since} (${ageText(state_since, nowMs)})`;
  const id = status.queue_id;
  return [
    ['queue', id === null || id === status.queue ? status.queue : `${status.queue} (${id})`],
    ['state', `${state}${health}${since}`, stateStyle(status)],
    ['reason', reason],
    ['hint', status.hint ?? null, 'cyan'],
    ['next start', next_start_at === null ? null : `in ${untilText(next_start_at, nowMs)}`],
    ...warnings.map((warning): Row => ['warning', warning, 'yellow']),
  ];
}

function workRows(status: WorkerStatus): Row[] {
  const { slots, executions, control_plane, temporal, heartbeat_age_ms, poll_age_ms, rss_bytes } = status;
  return [
    ['worker', status.worker_id],
    ['process', processText(status)],
    ['restarts', status.mode === 'daemon' ? String(status.restarts) : null],
    ['work', slots === null ? null : `${slots.used} of ${slots.max} slots used`],
    ['executions', executions.length === 0 ? null : executions.join(' ')],
    ['control plane', reachabilityText(control_plane), reachabilityStyle(control_plane)],
    ['temporal', reachabilityText(temporal), reachabilityStyle(temporal)],
    ['heartbeat', heartbeat_age_ms === null ? null : `${secondsText(heartbeat_age_ms)} ago`],
    ['last poll', poll_age_ms === null ? null : `${secondsText(poll_age_ms)} ago`],
    ['memory', rss_bytes === null ? null : bytesText(rss_bytes)],
  ];
}

function placeRows(status: WorkerStatus): Row[] {
  return [
    ['WebUI', status.webui_url],
    ['metrics', status.metrics_port === null ? null : `port ${status.metrics_port}`],
    ['log', `${status.log_file} (${bytesText(status.log_bytes)})`],
    ['version', status.version],
  ];
}

function processText({ mode, pid, worker_pid }: WorkerStatus): string | null {
  if (pid === null && worker_pid === null) return null;
  if (mode === 'foreground') return `${worker_pid ?? pid}, in the foreground`;
  const supervisor = pid === null ? 'without a supervisor' : `supervised by ${pid}`;
  return worker_pid === null ? `none, ${supervisor}` : `${worker_pid}, ${supervisor}`;
}

function reachabilityText(seen: Reachability | null): string | null {
  if (seen === null) return null;
  const down = `down since ${seen.since}${seen.reason === null ? '' : `: ${seen.reason}`}`;
  return `${seen.address}, ${seen.is_up ? 'up' : down}`;
}

function reachabilityStyle(seen: Reachability | null): Style | undefined {
  return seen === null || seen.is_up ? undefined : 'yellow';
}

const stateStyles: Readonly<Record<WorkerState, Style>> = {
  starting: 'yellow',
  running: 'yellow',
  draining: 'yellow',
  'backing-off': 'yellow',
  'crash-looping': 'red',
  failed: 'red',
  stopped: 'dim',
};

function stateStyle({ state, healthy }: WorkerStatus): Style {
  return healthy ? 'green' : stateStyles[state];
}

/** On a terminal no column may push the next ones out of it. */
const queueColumnsMax = 24;

export function workerListColumns(sink: Sink, nowMs: number): readonly Column<WorkerStatus>[] {
  const isCut = sink.columns !== undefined;
  return [
    { title: 'QUEUE', value: ({ queue }) => (isCut ? cut(queue, queueColumnsMax) : queue) },
    { title: 'STATE', value: ({ state }) => state },
    { title: 'FOR', value: ({ state_since }) => (state_since === null ? null : ageText(state_since, nowMs)) },
    { title: 'PID', value: ({ worker_pid, pid }) => worker_pid ?? pid },
    { title: 'SLOTS', value: ({ slots }) => (slots === null ? null : `${slots.used}/${slots.max}`) },
    { title: 'HEALTH', value: ({ healthy, reason, warnings }) => (healthy ? (warnings[0] ?? 'healthy') : reason) },
  ];
}

/** What an id of 36 characters leaves for it; an id has to be there in full. */
const hostColumnsMax = 12;

export function remoteWorkerColumns(sink: Sink, nowMs: number): readonly Column<Worker>[] {
  const hostOf = ({ system_info }: Worker): string => system_info?.hostname ?? '-';
  return [
    { title: 'ID', value: ({ worker_id }) => worker_id },
    {
      title: 'HOST',
      value: (worker) => (sink.columns === undefined ? hostOf(worker) : cut(hostOf(worker), hostColumnsMax)),
    },
    { title: 'STATUS', value: ({ status }) => status },
    { title: 'HEARTBEAT', value: ({ last_heartbeat: time }) => (time ? ageText(time, nowMs) : null) },
    { title: 'VERSION', value: ({ system_info }) => system_info?.sdk_version ?? system_info?.cli_version },
  ];
}

/** How long ago it was, in its two largest units at most: a column has no room for more. */
export function ageText(time: string, nowMs: number): string {
  return twoUnits(nowMs - Date.parse(time));
}

function untilText(time: string, nowMs: number): string {
  return secondsText(Date.parse(time) - nowMs);
}

function secondsText(ms: number): string {
  return formatDuration(Math.max(1_000, Math.round(ms / 1_000) * 1_000));
}

function twoUnits(ms: number): string {
  return /^(?:\d+[dhms]){1,2}/.exec(secondsText(ms))?.[0] ?? '';
}

export function bytesText(bytes: number): string {
  const units = ['bytes', 'kB', 'MB', 'GB', 'TB'];
  let amount = bytes;
  let unit = 0;
  for (; amount >= 999.5 && unit < units.length - 1; unit += 1) amount /= 1_000;
  return `${unit === 0 || amount >= 99.95 ? Math.round(amount) : Number(amount.toFixed(1))} ${units[unit] ?? ''}`;
}

function cut(text: string, columns: number): string {
  return text.length <= columns ? text : `${text.slice(0, columns - 1)}…`;
}

function fitted(line: string, sink: Sink, indent: number): string {
  return sink.columns === undefined ? line : cut(line, sink.columns - indent);
}

// The database's schema as numbered steps; a step that has been released is never changed.

/** Applied in order, each in its own transaction; `PRAGMA user_version` counts those that have been applied. */
export const migrations: readonly string[] = [
  `
  CREATE TABLE resources (
    kind TEXT NOT NULL,
    id TEXT NOT NULL,
    name TEXT NOT NULL,
    body TEXT NOT NULL,
    created_at TEXT NOT NULL,
    updated_at TEXT NOT NULL,
    PRIMARY KEY (kind, id),
    UNIQUE (kind, name)
  ) STRICT, WITHOUT ROWID;

  CREATE TABLE skill_associations (
    entity_type TEXT NOT NULL,
    entity_id TEXT NOT NULL,
    skill_id TEXT NOT NULL,
    position INTEGER NOT NULL,
    configuration_override TEXT,
    PRIMARY KEY (entity_type, entity_id, skill_id)
  ) STRICT, WITHOUT ROWID;

  CREATE TABLE queues (
    id TEXT PRIMARY KEY,
    environment_id TEXT NOT NULL,
    name TEXT NOT NULL,
    status TEXT NOT NULL,
    heartbeat_interval INTEGER NOT NULL,
    max_workers INTEGER,
    is_ephemeral INTEGER NOT NULL,
    is_single_execution INTEGER NOT NULL,
    auto_cleanup_after_seconds INTEGER,
    claimed_by TEXT,
    body TEXT NOT NULL,
    created_at TEXT NOT NULL,
    updated_at TEXT NOT NULL,
    UNIQUE (environment_id, name)
  ) STRICT, WITHOUT ROWID;

  CREATE TABLE workers (
    id TEXT PRIMARY KEY,
    queue_id TEXT NOT NULL,
    is_disconnected INTEGER NOT NULL DEFAULT 0,
    registered_at_ms INTEGER NOT NULL,
    last_heartbeat_ms INTEGER,
    live_until_ms INTEGER NOT NULL DEFAULT 0,
    body TEXT NOT NULL
  ) STRICT, WITHOUT ROWID;
  CREATE INDEX workers_of_queue ON workers (queue_id);

  CREATE TABLE executions (
    number INTEGER PRIMARY KEY,
    id TEXT NOT NULL UNIQUE,
    entity_id TEXT NOT NULL,
    entity_name TEXT NOT NULL,
    queue_id TEXT NOT NULL,
    status TEXT NOT NULL,
    prompt TEXT NOT NULL,
    response TEXT,
    error_message TEXT,
    usage TEXT NOT NULL DEFAULT '{}',
    metadata TEXT NOT NULL DEFAULT '{}',
    request TEXT NOT NULL,
    workflow_input TEXT NOT NULL,
    idempotency_key TEXT UNIQUE,
    request_hash TEXT NOT NULL,
    is_open INTEGER NOT NULL DEFAULT 1,
    is_workflow_started INTEGER NOT NULL DEFAULT 0,
    cancel_requested_at_ms INTEGER,
    created_at TEXT NOT NULL,
    updated_at TEXT NOT NULL,
    started_at TEXT,
    completed_at TEXT
  ) STRICT;
  CREATE INDEX executions_open ON executions (number) WHERE is_open = 1;
  CREATE INDEX executions_of_queue ON executions (queue_id, number);

  CREATE TABLE events (
    execution INTEGER NOT NULL,
    sequence INTEGER NOT NULL,
    event_id TEXT NOT NULL,
    event_type TEXT NOT NULL,
    data TEXT NOT NULL,
    timestamp TEXT NOT NULL,
    stored_at_micros INTEGER NOT NULL,
    PRIMARY KEY (execution, sequence),
    UNIQUE (execution, event_id)
  ) STRICT, WITHOUT ROWID;

  CREATE TABLE sessions (
    execution INTEGER PRIMARY KEY,
    session_id TEXT NOT NULL,
    messages TEXT NOT NULL,
    metadata TEXT NOT NULL,
    updated_at TEXT NOT NULL
  ) STRICT;
  `,
  // Why an open execution cannot go on, when no worker can run it; null otherwise.
  `ALTER TABLE executions ADD COLUMN stuck_reason TEXT;`,
  // Approvals, and what executions used. `execution` is the number of the one that the control plane knows.
  `
  CREATE TABLE approvals (
    id TEXT PRIMARY KEY,
    execution INTEGER NOT NULL,
    call_id TEXT,
    request TEXT NOT NULL,
    status TEXT NOT NULL DEFAULT 'pending',
    expires_at_ms INTEGER NOT NULL,
    created_at TEXT NOT NULL,
    resolved_at TEXT,
    resolved_by_name TEXT,
    resolved_by_email TEXT,
    reason TEXT,
    is_answered INTEGER NOT NULL DEFAULT 0,
    UNIQUE (execution, call_id)
  ) STRICT;
  CREATE INDEX approvals_unanswered ON approvals (execution) WHERE is_answered = 0;

  CREATE TABLE analytics (
    execution INTEGER NOT NULL,
    kind TEXT NOT NULL,
    record_id TEXT NOT NULL,
    body TEXT NOT NULL,
    PRIMARY KEY (execution, kind, record_id)
  ) STRICT, WITHOUT ROWID;

  CREATE INDEX executions_of_entity ON executions (entity_id, number);
  `,
  // Jobs. The index finds the executions of one; an id in job_removals is a schedule that Temporal may still have.
  `
  CREATE TABLE jobs (
    id TEXT PRIMARY KEY,
    name TEXT NOT NULL UNIQUE,
    definition TEXT NOT NULL,
    webhook_secret TEXT,
    revision INTEGER NOT NULL DEFAULT 1,
    synced_revision INTEGER NOT NULL DEFAULT 0,
    created_at TEXT NOT NULL,
    updated_at TEXT NOT NULL
  ) STRICT, WITHOUT ROWID;
  CREATE TABLE job_removals (job_id TEXT PRIMARY KEY) STRICT, WITHOUT ROWID;
  CREATE TABLE webhook_deliveries (
    job_id TEXT NOT NULL,
    key TEXT NOT NULL,
    execution_id TEXT NOT NULL,
    received_at_ms INTEGER NOT NULL,
    PRIMARY KEY (job_id, key)
  ) STRICT, WITHOUT ROWID;
  CREATE INDEX executions_of_job ON executions (json_extract(request, '$.execution_metadata.job_id'), number)
    WHERE json_extract(request, '$.execution_metadata.job_id') IS NOT NULL;
  `,
  // Rows are large and lists many: what has expired and which are a team's is found without reading them.
  `
  CREATE INDEX executions_ended ON executions (updated_at, number) WHERE is_open = 0;
  CREATE INDEX executions_of_teams ON executions (number)
    WHERE json_valid(workflow_input) AND json_extract(workflow_input, '$.team_id') IS NOT NULL;
  `,
];

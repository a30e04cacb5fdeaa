// Environments, agents, teams, models and skills: named things with a JSON body, and which skills belong to whom.
import type { Database } from 'bun:sqlite';
import { createId } from '../../lib/ids.ts';

export type ResourceKind = 'environment' | 'agent' | 'team' | 'model' | 'skill';
export type Body = Record<string, unknown>;

export interface Resource {
  readonly id: string;
  readonly name: string;
  readonly body: Body;
  readonly createdAt: string;
  readonly updatedAt: string;
}

export interface Association {
  readonly skillId: string;
  readonly override: Body | null;
}

/** A name is unique within its kind: inserting or renaming to a taken one throws SQLite's unique violation. */
export interface Resources {
  list(kind: ResourceKind): Resource[];
  /** By id, else by name. */
  find(kind: ResourceKind, idOrName: string): Resource | null;
  insert(kind: ResourceKind, name: string, body: Body): Resource;
  /** Replaces name and body. */
  replace(kind: ResourceKind, id: string, name: string, body: Body): void;
  /** With its associations, in both directions. */
  delete(kind: ResourceKind, id: string): void;
  skillsOf(entityType: string, entityId: string): Association[];
  associate(entityType: string, entityId: string, association: Association): void;
  dissociate(entityType: string, entityId: string, skillId: string): boolean;
}

interface Row {
  id: string;
  name: string;
  body: string;
  created_at: string;
  updated_at: string;
}

const columns = 'id, name, body, created_at, updated_at';

export function createResources(database: Database, now: () => string): Resources {
  const list = database.query<Row, [string]>(`SELECT ${columns} FROM resources WHERE kind = ? ORDER BY created_at, id`);
  const byId = database.query<Row, [string, string]>(`SELECT ${columns} FROM resources WHERE kind = ? AND id = ?`);
  const byName = database.query<Row, [string, string]>(`SELECT ${columns} FROM resources WHERE kind = ? AND name = ?`);
  const insert = database.query<unknown, string[]>(
    'INSERT INTO resources (kind, id, name, body, created_at, updated_at) VALUES (?, ?, ?, ?, ?, ?)',
  );
  const replace = database.query<unknown, string[]>(
    'UPDATE resources SET name = ?, body = ?, updated_at = ? WHERE kind = ? AND id = ?',
  );
  const remove = database.query<unknown, string[]>('DELETE FROM resources WHERE kind = ? AND id = ?');
  const detach = database.query<unknown, string[]>(
    'DELETE FROM skill_associations WHERE skill_id = ?1 OR entity_id = ?1',
  );
  return {
    list: (kind) => list.all(kind).map(resourceOf),
    find: (kind, idOrName) => {
      const row = byId.get(kind, idOrName) ?? byName.get(kind, idOrName);
      return row === null ? null : resourceOf(row);
    },
    insert: (kind, name, body) => {
      const id = createId();
      const at = now();
      insert.run(kind, id, name, JSON.stringify(body), at, at);
      return { id, name, body, createdAt: at, updatedAt: at };
    },
    replace: (kind, id, name, body) => void replace.run(name, JSON.stringify(body), now(), kind, id),
    delete: database.transaction((kind: ResourceKind, id: string) => {
      detach.run(id);
      remove.run(kind, id);
    }),
    ...createAssociations(database),
  };
}

function createAssociations(database: Database): Pick<Resources, 'skillsOf' | 'associate' | 'dissociate'> {
  const of = database.query<{ skill_id: string; configuration_override: string | null }, [string, string]>(
    `SELECT skill_id, configuration_override FROM skill_associations
     WHERE entity_type = ? AND entity_id = ? ORDER BY position, skill_id`,
  );
  const add = database.query<unknown, (string | null)[]>(
    `INSERT INTO skill_associations (entity_type, entity_id, skill_id, configuration_override, position)
     VALUES (?1, ?2, ?3, ?4,
       (SELECT coalesce(max(position), 0) + 1 FROM skill_associations WHERE entity_type = ?1 AND entity_id = ?2))
     ON CONFLICT DO UPDATE SET configuration_override = excluded.configuration_override`,
  );
  const remove = database.query<unknown, string[]>(
    'DELETE FROM skill_associations WHERE entity_type = ? AND entity_id = ? AND skill_id = ?',
  );
  return {
    skillsOf: (entityType, entityId) =>
      of.all(entityType, entityId).map((row) => ({
        skillId: row.skill_id,
        override: row.configuration_override === null ? null : parseBody(row.configuration_override),
      })),
    associate: (entityType, entityId, { skillId, override }) =>
      void add.run(entityType, entityId, skillId, override === null ? null : JSON.stringify(override)),
    dissociate: (entityType, entityId, skillId) => remove.run(entityType, entityId, skillId).changes > 0,
  };
}

/** What we wrote ourselves: an object. */
export function parseBody(text: string): Body {
  return JSON.parse(text) as Body;
}

/** An absent field and an undefined one are the same to a caller, and not to a spread. */
export function withoutUndefined<T extends object>(fields: T): Defined<T> {
  return Object.fromEntries(Object.entries(fields).filter(([, value]) => value !== undefined)) as Defined<T>;
}

type Defined<T> = { [K in keyof T]?: Exclude<T[K], undefined> };

function resourceOf(row: Row): Resource {
  const { id, name, created_at: createdAt, updated_at: updatedAt } = row;
  return { id, name, body: parseBody(row.body), createdAt, updatedAt };
}

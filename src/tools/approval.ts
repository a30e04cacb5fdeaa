// The built-in tool wait_for_approval: asks a person and waits in the workflow, where it holds no worker.
import * as v from 'valibot';
import { approvalToolName, type ResolvedSkill } from '../protocol/tool.ts';
import { type SkillTools, type SkillType, namesSchema, parseConfiguration, setting } from './configuration.ts';
import { definePlannedTool } from './tool.ts';
import description from './wait-for-approval.txt' with { type: 'text' };

/** A day, as the control plane has it. */
const timeoutMinutesDefault = 1_440;
/** 30 days: a question that nobody answered in a month is not open any more. */
const timeoutMinutesMax = 30 * 1_440;
/** One line of a list of approvals. */
const titleCharactersMax = 200;
/** A screen or two for the person who decides. */
const messageCharactersMax = 10_000;
/** It is kept in the history of the execution and in the approval. */
const contextCharactersMax = 20_000;

const minutes = v.pipe(v.number(), v.minValue(0.01), v.maxValue(timeoutMinutesMax));

const entries = {
  enabled: setting(v.boolean(), 'false takes the tool away from the agent; without a skill of this type it is there'),
  timeout_minutes: setting(minutes, 'longest wait for an answer; 1440 unless set'),
  approver_user_emails: setting(namesSchema, 'who may answer, whomever the model names'),
  approver_group_id: setting(v.pipe(v.string(), v.minLength(1)), 'group that may answer, whichever the model names'),
};

const input = v.strictObject({
  title: v.pipe(
    v.string(),
    v.trim(),
    v.minLength(1),
    v.maxLength(titleCharactersMax),
    v.description('What to approve'),
  ),
  message: v.optional(
    v.pipe(v.string(), v.maxLength(messageCharactersMax), v.description('What the person has to know to decide')),
  ),
  approver_user_emails: v.optional(v.pipe(v.array(v.pipe(v.string(), v.email())), v.maxLength(50))),
  approver_group_id: v.optional(v.string()),
  context: v.optional(v.pipe(v.record(v.string(), v.unknown()), v.description('Facts to show with the question'))),
  timeout_minutes: v.optional(v.pipe(minutes, v.description('Give up after this many minutes'))),
});

export const approvalSkill = {
  type: approvalToolName,
  description: 'Ask a person before going on; every agent with tools has it',
  entries,
  variants: {},
  create: createApprovalTools,
} satisfies SkillType;

function createApprovalTools(skill: ResolvedSkill): SkillTools {
  const parsed = parseConfiguration(skill, approvalSkill);
  if (!parsed.ok) return { tools: [], problems: parsed.problems };
  const { configuration } = parsed;
  if (configuration.enabled === false) return { tools: [], problems: parsed.problems };
  const hasOwnApprovers =
    configuration.approver_user_emails !== undefined || configuration.approver_group_id !== undefined;
  const minutesMax = configuration.timeout_minutes ?? timeoutMinutesDefault;
  const tool = definePlannedTool({
    name: approvalToolName,
    description,
    input,
    // The calls behind it must not run before the answer.
    effect: 'side_effecting',
    usualTimeMs: 0,
    plan: (given) => {
      const context = given.context ?? {};
      if (JSON.stringify(context).length > contextCharactersMax) {
        return { ok: false, problem: `The context is longer than ${contextCharactersMax} characters` };
      }
      const asked = hasOwnApprovers ? configuration : given;
      return {
        ok: true,
        value: {
          type: 'approval',
          title: given.title,
          ...(given.message === undefined ? {} : { message: given.message }),
          approverEmails: [...(asked.approver_user_emails ?? [])],
          ...(asked.approver_group_id === undefined ? {} : { approverGroupId: asked.approver_group_id }),
          expiresAfterMs: Math.ceil(Math.min(given.timeout_minutes ?? minutesMax, minutesMax) * 60_000),
          context,
        },
      };
    },
  });
  return { tools: [tool], problems: parsed.problems };
}

// Plans without a planner: the rules of the embedded control plane, for control planes that have none and choices that are none.
import { createId } from '../lib/ids.ts';
import type { Plan, PlanRequest } from '../protocol/planner.ts';
import { planByRules } from '../server/planner-rules.ts';

/** Undefined when there is nobody to choose from. `why` says why rules planned; empty where there was one choice only. */
export function planLocally(request: PlanRequest, why: string): Plan | undefined {
  const plan = planByRules(request, why);
  return plan && { plan_id: createId(), ...plan, created_at: new Date().toISOString() };
}

// The mark of a payload whose signature is missing or wrong; apart from the signature's code, because workflows read it and have no crypto.

/** The only key of the object that stands for such a payload; its value is the reason. */
export const refusedPayloadKey = 'kubiya_refused';

/** True for a start or signal argument that was not signed by the control plane: the receiver acts as if it had not come. */
export function isRefused(value: unknown): boolean {
  return typeof value === 'object' && value !== null && refusedPayloadKey in value;
}

// `kubiya execution deny`.
import { approvalCommand } from '../../nouns/approval.ts';

export default approvalCommand('deny');

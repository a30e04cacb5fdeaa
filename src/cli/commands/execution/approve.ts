// `kubiya execution approve`.
import { approvalCommand } from '../../nouns/approval.ts';

export default approvalCommand('approve');

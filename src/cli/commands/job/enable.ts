// `kubiya job enable`.
import { switchCommand } from '../../job/switch.ts';

export default switchCommand('enable');

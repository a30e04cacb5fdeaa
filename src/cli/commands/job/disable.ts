// `kubiya job disable`.
import { switchCommand } from '../../job/switch.ts';

export default switchCommand('disable');

// `kubiya execution resume`.
import { controlCommand } from '../../control.ts';

export default controlCommand('resume');

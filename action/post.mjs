// The end of the job: tokens are revoked, and what the step made is taken back. It never makes a job fail.

import { end, takeBack } from './job.mjs';
import { state, warning } from './runner.mjs';

try {
  takeBack();
  if (state('folder')) end(state('folder'), state('program'));
} catch (error) {
  warning(`not everything of git-credential-ghapp is removed: ${error.message}`);
}

// The end of the job: tokens are revoked, and what the step made is removed. It never makes a job fail.

import { end } from './job.mjs';
import { state } from './runner.mjs';

if (state('folder')) end(state('folder'), state('program'));

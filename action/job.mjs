// The job's folder: everything that this job has is in it, and goes with it.

import { existsSync, mkdtempSync, rmSync } from 'node:fs';
import { join } from 'node:path';

import { logout } from './helper.mjs';
import { Failure, run, warning } from './runner.mjs';

/** Makes a folder that only the runner's user can enter. */
export function makeFolder() {
  const temporary = process.env.RUNNER_TEMP;
  if (!temporary) {
    throw new Failure('RUNNER_TEMP is not set', 'this runs only as a step of a GitHub Actions job');
  }
  const folder = mkdtempSync(join(temporary, 'ghapp-'));
  if (process.platform === 'win32') keepToOneself(folder);
  return folder;
}

/** Windows lets those into a folder who may enter the one around it. */
function keepToOneself(folder) {
  const system = (name) => join(process.env.SystemRoot ?? 'C:\\Windows', 'System32', name);
  const user = run(system('whoami.exe'), ['/user', '/fo', 'csv', '/nh']).stdout;
  const sid = /S-1-[\d-]+/.exec(user)?.[0] ?? 'nobody';
  const ran = run(system('icacls.exe'), [folder, '/inheritance:r', '/grant:r', `*${sid}:(OI)(CI)F`]);
  if (ran.status !== 0) {
    throw new Failure(`cannot keep other users out of ${folder}: ${(ran.stderr || ran.stdout).trim()}`);
  }
}

/** Revokes the tokens, and removes the folder, and so git's settings. What cannot be done is a warning: the job is over. */
export function end(folder, program) {
  const config = join(folder, 'config.toml');
  if (program && existsSync(program) && existsSync(config)) {
    try {
      logout({ program, config });
    } catch (failure) {
      warning(`not all tokens could be revoked; the others expire within the hour: ${failure.message}`);
    }
  }
  try {
    rmSync(folder, { recursive: true, force: true, maxRetries: 3 });
  } catch (error) {
    warning(`the private key may still be in ${folder}: ${error.message}`);
  }
}

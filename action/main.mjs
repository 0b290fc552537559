// The step: from here on, git uses the App for its owners, until the job ends.

import { writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';

import { checkGit, inclusion, paths, settings } from './git.mjs';
import { configure, everyOwner, installations, maskTokens } from './helper.mjs';
import { readInputs } from './inputs.mjs';
import { end, makeFolder } from './job.mjs';
import { provide } from './program.mjs';
import { addPath, exportVariable, fail, saveState } from './runner.mjs';

try {
  begin();
} catch (failure) {
  fail(failure);
}

function begin() {
  const inputs = readInputs();
  checkGit();
  const folder = makeFolder();
  let program;
  try {
    saveState('folder', folder);
    program = provide(inputs.program, folder);
    saveState('program', program);
    const helper = { program, config: configure(inputs, folder) };
    const file = join(folder, 'gitconfig');
    writeFileSync(file, settings(inputs.host, reach(helper, inputs), helper.program, helper.config));
    addPath(dirname(program));
    exportVariable('GHAPP_CONFIG', helper.config);
    inclusion(file).forEach(([name, value]) => exportVariable(name, value));
  } catch (failure) {
    end(folder, program);
    throw failure;
  }
}

/** The paths in URLs for which the App is used, after it was seen to work there. */
function reach(helper, inputs) {
  const { host, repositories } = inputs;
  const installed = installations(helper, inputs);
  const namesNone = inputs.owners.length + repositories.length === 0;
  const owners = namesNone ? everyOwner(installed, host) : inputs.owners;
  // One token is for all repositories of an owner that the workflow names.
  const firsts = new Map(repositories.map((it) => [it.split('/')[0].toLowerCase(), it]));
  maskTokens(helper, host, [...owners, ...firsts.values()]);
  return paths({ owners, repositories }, installed.map((it) => it.owner));
}

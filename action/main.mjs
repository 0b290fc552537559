// The step: from here on, git uses the App for its owners, until the job ends.

import { dirname } from 'node:path';

import { checkGit, paths, settings, variables } from './git.mjs';
import { configure, everyOwner, installations, maskTokens } from './helper.mjs';
import { readInputs } from './inputs.mjs';
import { end, makeFolder } from './job.mjs';
import { provide } from './program.mjs';
import { Failure, addPath, exportVariable, fail, saveState } from './runner.mjs';

try {
  begin();
} catch (failure) {
  if (!(failure instanceof Failure)) throw failure;
  fail(failure);
}

function begin() {
  const inputs = readInputs();
  checkGit();
  const folder = makeFolder();
  saveState('folder', folder);
  let program;
  try {
    program = provide(inputs.program, folder);
    saveState('program', program);
    const helper = { program, config: configure(inputs, folder) };
    tellGit(helper, inputs);
    addPath(dirname(program));
    exportVariable('GHAPP_CONFIG', helper.config);
  } catch (failure) {
    end(folder, program);
    throw failure;
  }
}

function tellGit(helper, inputs) {
  const { host, repositories } = inputs;
  const installed = installations(helper, inputs);
  const namesNone = inputs.owners.length + repositories.length === 0;
  const owners = namesNone ? everyOwner(installed, host) : inputs.owners;
  // One token is for all repositories of an owner that the workflow names.
  const firsts = new Map(repositories.map((it) => [it.split('/')[0].toLowerCase(), it]));
  maskTokens(helper, host, [...owners, ...firsts.values()]);
  const reported = installed.map((it) => it.owner);
  const added = variables(settings(host, paths({ owners, repositories }, reported), helper.program, helper.config));
  saveState('before', String(added.before));
  saveState('after', String(added.after));
  added.pairs.forEach(([name, value]) => exportVariable(name, value));
  exportVariable('GIT_CONFIG_COUNT', String(added.after));
}

// What passes between a step and the runner: inputs, state, variables for later steps, and lines of the log.
// https://docs.github.com/en/actions/reference/workflows-and-actions/workflow-commands

import { spawnSync } from 'node:child_process';
import { randomUUID } from 'node:crypto';
import { appendFileSync } from 'node:fs';
import { EOL } from 'node:os';
import { dirname } from 'node:path';

/** Why the step fails, and what to do about it. */
export class Failure extends Error {
  constructor(cause, hint) {
    super(cause);
    this.hint = hint;
  }
}

/** The text of an input, without the blanks around it; empty if it was not given. */
export function input(name) {
  return (process.env[`INPUT_${name.toUpperCase()}`] ?? '').trim();
}

/** What the main step saved for the post step. */
export function state(name) {
  return process.env[`STATE_${name}`] ?? '';
}

/** Saves something for the post step. It is not secret. */
export function saveState(name, value) {
  append('GITHUB_STATE', pair(name, value));
}

/** Sets a variable for the later steps of the job. */
export function exportVariable(name, value) {
  append('GITHUB_ENV', pair(name, value));
}

/** Puts a folder before the `PATH` of the later steps. */
export function addPath(folder) {
  append('GITHUB_PATH', folder);
}

/** Makes the runner show `***` in the place of a secret, in this step's log and in all later ones. */
export function mask(secret) {
  command('add-mask', secret);
}

export function warning(text) {
  command('warning', text);
}

/** Says why the step fails: the cause, and below it what to do, if that is known. */
export function fail(failure) {
  const hint = failure.hint ? `\nhint: ${failure.hint}` : '';
  command('error', `${failure.message}${hint}`);
  process.exitCode = 1;
}

/** A line that the runner obeys. What is in the text cannot end it. */
export function line(name, text) {
  const escaped = text.replaceAll('%', '%25').replaceAll('\r', '%0D').replaceAll('\n', '%0A');
  return `::${name}::${escaped}`;
}

function command(name, text) {
  process.stdout.write(line(name, text) + EOL);
}

/** A name and a value of any number of lines, as the runner's files have them. */
export function pair(name, value) {
  const end = `ghapp_${randomUUID()}`;
  return [`${name}<<${end}`, value, end].join(EOL);
}

function append(variable, text) {
  const file = process.env[variable];
  if (!file) {
    throw new Failure(`${variable} is not set`, 'this runs only as a step of a GitHub Actions job');
  }
  appendFileSync(file, text + EOL);
}

// What other programs have no need of: the inputs, among them the private key, and what the runner gives to actions only.
const PRIVATE = ['INPUT_', 'STATE_', 'ACTIONS_', 'GHAPP_'];

/** The environment for the programs that a step starts. */
export function environment() {
  const isPrivate = (name) => PRIVATE.some((prefix) => name.toUpperCase().startsWith(prefix));
  return Object.fromEntries(Object.entries(process.env).filter(([name]) => !isPrivate(name)));
}

/**
 * Runs a program to its end, which comes within so many seconds. Gives its output, or throws why there is none. It is never run
 * in the checkout: Windows looks for programs in the folder where they are called first.
 */
export function run(program, args, { cwd = dirname(process.execPath), seconds = 120 } = {}) {
  const ran = spawnSync(program, args, {
    cwd,
    env: environment(),
    encoding: 'utf8',
    maxBuffer: 16 * 1024 * 1024,
    stdio: ['ignore', 'pipe', 'pipe'],
    timeout: seconds * 1000,
    windowsHide: true,
  });
  if (ran.error) {
    const why = { ENOENT: 'is not there', ETIMEDOUT: `did not end within ${seconds} seconds` }[ran.error.code];
    throw new Failure(`${program} ${why ?? `does not run: ${ran.error.message}`}`);
  }
  return ran;
}

/** The same, with what to do if the program does not run. */
export function need(program, args, { hint, ...options }) {
  try {
    return run(program, args, options);
  } catch (failure) {
    failure.hint ??= hint;
    throw failure;
  }
}

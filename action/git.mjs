// What git must know in the later steps: a file of settings in the job's folder, and variables that make git include it. They
// end with the job, come after every other file, and mean nothing where the folder is not there.
// https://git-scm.com/docs/git-config#Documentation/git-config.txt-GITCONFIGCOUNT

import { Failure, need, warning } from './runner.mjs';

/**
 * Throws if there is no git, or one that does not read its configuration from the environment. Warns of one that keeps it from
 * some submodules: https://github.com/git/git/commit/69bb2e1804d2f3e5ba7ef365fdfd1937b4d7ca0a (2.33), and
 * git-submodule.sh, which was without it until 2.38.
 */
export function checkGit() {
  const hint = 'install git 2.31 or later before this step';
  const { status, stdout } = need('git', ['--version'], { hint });
  const [, major, minor] = (/(\d+)\.(\d+)/.exec(stdout) ?? []).map(Number);
  if (status !== 0 || !(major > 2 || (major === 2 && minor >= 31))) {
    const what = status === 0 ? `${stdout.trim()} reads no settings from the environment` : 'git does not run';
    throw new Failure(what, hint);
  }
  if (major === 2 && minor < 38) {
    warning(`${stdout.trim()} does not use the App for all submodules, which git does from 2.38 on`);
  }
}

/**
 * The paths in URLs that stand for owners and repositories. git compares them as they are written, and GitHub does not:
 * so each is there as the workflow writes it, in lower case, and as GitHub reports it.
 */
export function paths({ owners, repositories }, reported) {
  const spelled = (name) => {
    const same = reported.filter((it) => it.toLowerCase() === name.toLowerCase());
    return unique([name, name.toLowerCase(), ...same]);
  };
  // git compares whole names between slashes, and URLs are written with the suffix and without.
  const ofRepository = (full) => {
    const [owner, name] = full.split('/');
    const names = unique([name, name.toLowerCase()]).flatMap((it) => [it, `${it}.git`]);
    return spelled(owner).flatMap((it) => names.map((repository) => `${it}/${repository}`));
  };
  return unique([...owners.flatMap(spelled), ...repositories.flatMap(ofRepository)]);
}

const unique = (list) => [...new Set(list)];

/**
 * Settings by which git asks this program alone below these paths, as a file. An empty `helper` makes git forget the others, and
 * an empty `extraHeader` the headers of less specific URLs: actions/checkout sets one for the whole host, with the job's own
 * token, and with that git would ask nobody.
 */
export function settings(host, paths, program, config) {
  const helper = quoted(`!${inShell(program)} --config ${inShell(config)}`);
  const ofPath = (path) => {
    const url = quoted(`https://${host}/${path}`);
    const credential = [`[credential ${url}]`, '\thelper =', `\thelper = ${helper}`, '\tuseHttpPath = true'];
    return [...credential, `[http ${url}]`, '\textraHeader ='];
  };
  return `${paths.flatMap(ofPath).join('\n')}\n`;
}

const quoted = (text) => `"${text.replaceAll('\\', '\\\\').replaceAll('"', '\\"')}"`;

/** A path as one word of the shell by which git runs helpers, on Windows too. */
export function inShell(path) {
  return `'${forward(path).replaceAll("'", "'\\''")}'`;
}

const forward = (path) => (process.platform === 'win32' ? path.replaceAll('\\', '/') : path);

/** The variables that make git include a file, beside the settings that the environment has. */
export function inclusion(file) {
  // The helper was asked by now, and git with it: what is no number failed there.
  const count = Number(process.env.GIT_CONFIG_COUNT || 0);
  return [
    [`GIT_CONFIG_KEY_${count}`, 'include.path'],
    [`GIT_CONFIG_VALUE_${count}`, notTranslated(file)],
    ['GIT_CONFIG_COUNT', String(count + 1)],
  ];
}

/**
 * A path that the runner gives to Docker container actions as it is. Of one that begins as its temporary folder does it makes
 * where that folder is in the container, and there the file names a program that is elsewhere.
 */
function notTranslated(path) {
  return process.platform === 'win32' ? forward(path) : `/.${path}`;
}

// What git must know in the later steps. It is in the environment, which ends with the job and comes after every file:
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
 * Settings by which git asks this program alone below these paths. An empty `helper` makes git forget the others, and an
 * empty `extraHeader` the headers of less specific URLs: actions/checkout sets one for the whole host, with the job's own
 * token, and with that git would ask nobody.
 */
export function settings(host, paths, program, config) {
  const helper = `!${inShell(program)} --config ${inShell(config)}`;
  return paths.flatMap((path) => {
    const url = `https://${host}/${path}`;
    return [
      [`credential.${url}.helper`, ''],
      [`credential.${url}.helper`, helper],
      [`credential.${url}.useHttpPath`, 'true'],
      [`http.${url}.extraHeader`, ''],
    ];
  });
}

/** A path as one word of the shell by which git runs helpers, on Windows too. */
export function inShell(path) {
  const forward = process.platform === 'win32' ? path.replaceAll('\\', '/') : path;
  return `'${forward.replaceAll("'", "'\\''")}'`;
}

/** The variables that add settings to those that the environment has. */
export function variables(settings) {
  // The helper was asked by now, and git with it: what is no number failed there.
  const first = Number(process.env.GIT_CONFIG_COUNT || 0);
  const pairs = settings.flatMap(([key, value], index) => [
    [`GIT_CONFIG_KEY_${first + index}`, key],
    [`GIT_CONFIG_VALUE_${first + index}`, value],
  ]);
  return { before: first, after: first + settings.length, pairs };
}

// The helper itself: its configuration for this job, and what it is asked in this step and at the end.

import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';

import { Failure, mask, run } from './runner.mjs';

/** The most owners that are taken from the list of installations: git gets settings for each. */
const MANY = 20;

const toml = (value) => (Array.isArray(value) ? `[${value.map(toml).join(', ')}]` : JSON.stringify(value));

/** The configuration as text. The files that it names are beside it. */
export function configuration({ appId, owners, repositories, permissions, host }) {
  const rule = (more) => {
    const lines = ['', '[[app]]', `id = ${toml(appId)}`, 'private-key = "key.pem"', `host = ${toml(host)}`, ...more];
    if (permissions.length > 0) {
      const pairs = permissions.map(([name, level]) => `${toml(name)} = ${toml(level)}`);
      lines.push(`permissions = { ${pairs.join(', ')} }`);
    }
    return lines;
  };
  const ofOwners = rule(owners.length > 0 ? [`owners = ${toml(owners)}`] : []);
  const ofRepositories = rule([`repositories = ${toml(repositories)}`, 'scope = "listed"']);
  // A folder of the job's own: what it keeps ends with the job, and other jobs of the same user have theirs.
  const lines = ['cache = "file"', 'cache-folder = "cache"'];
  if (owners.length > 0 || repositories.length === 0) lines.push(...ofOwners);
  if (repositories.length > 0) lines.push(...ofRepositories);
  return `${lines.join('\n')}\n`;
}

/** Writes the configuration and the private key for this user alone. Gives the configuration's path. */
export function configure(inputs, folder) {
  const file = (name, text) => {
    const path = join(folder, name);
    writeFileSync(path, text, { flag: 'wx', mode: 0o600 });
    return path;
  };
  mkdirSync(join(folder, 'cache'), { mode: 0o700 });
  file('key.pem', `${inputs.privateKey}\n`);
  return file('config.toml', configuration(inputs));
}

/** The owners where the App is installed, as GitHub writes them, and whether that is suspended. */
export function installations(helper, { appId, host }) {
  const installed = JSON.parse(ask(helper, ['installations', '--json']));
  return installed.filter((it) => it.owner && it.app === appId && it.host.toLowerCase() === host);
}

/** The owners where the App is installed, for a workflow that names none. */
export function everyOwner(installed, host) {
  const owners = installed.filter((it) => !it.suspended).map((it) => it.owner);
  if (installed.length === 0) {
    throw new Failure(`the App is not installed anywhere on ${host}`, "install it: its settings page has 'Install App'");
  }
  if (owners.length === 0) {
    throw new Failure('the App is suspended wherever it is installed', `unsuspend it: ${installed[0].html_url}`);
  }
  if (owners.length > MANY) {
    throw new Failure(`the App is installed on ${owners.length} owners`, 'name those that the job needs: owners');
  }
  return owners;
}

/** Mints a token for each of these places, and masks it as it is, and as it stands in a header. */
export function maskTokens(helper, host, places) {
  for (const place of places) {
    const token = ask(helper, ['token', `https://${host}/${place}`]).trim();
    mask(token);
    mask(Buffer.from(`x-access-token:${token}`).toString('base64'));
  }
}

/** Revokes all tokens of the job. */
export function logout(helper) {
  ask(helper, ['logout', '--all'], 90);
}

/** What the helper prints. */
function ask({ program, config }, args, seconds) {
  const ran = run(program, ['--config', config, ...args], { cwd: join(config, '..'), seconds });
  if (ran.status !== 0) {
    throw told(ran.stderr) ?? new Failure(`git-credential-ghapp ${args[0]} failed`);
  }
  return ran.stdout;
}

/** What the helper says in its own words: the cause, and the hint that follows it. */
export function told(stderr) {
  const lines = stderr.split('\n').map((it) => it.trim());
  const cause = (it) => /^git-credential-ghapp: (?:error|warning): (.*)$/.exec(it)?.[1];
  const index = lines.findLastIndex((it) => cause(it));
  if (index < 0) return undefined;
  return new Failure(cause(lines[index]), /^git-credential-ghapp: hint: (.*)$/.exec(lines[index + 1] ?? '')?.[1]);
}

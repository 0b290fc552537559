// The inputs of the Action, checked.

import { Failure, input } from './runner.mjs';

const list = (text) => text.split(/[\s,]+/).filter(Boolean);

/** What the workflow says. Names are kept as they are written, because git compares them so. */
export function readInputs() {
  return {
    appId: required('app-id', "it is on the App's settings page, and not secret: ${{ vars.APP_ID }}"),
    privateKey: required(
      'private-key',
      'check the name of the secret; GitHub gives no secrets to workflows that forks and Dependabot start',
    ),
    owners: list(input('owners')).map(owner),
    repositories: list(input('repositories')).map(repository),
    permissions: permissions(input('permissions')),
    host: host(input('host') || new URL(process.env.GITHUB_SERVER_URL || 'https://github.com').host),
    program: input('program'),
  };
}

function required(name, hint) {
  const text = input(name);
  if (!text) {
    throw new Failure(`the input ${name} is empty`, hint);
  }
  return text;
}

function owner(name) {
  if (!/^[\w.-]+$/.test(name)) {
    throw new Failure(`${JSON.stringify(name)} is not an owner (input owners)`, 'write the name alone: acme');
  }
  return name;
}

function repository(name) {
  if (!/^[\w.-]+\/[\w.-]+$/.test(name)) {
    const what = `${JSON.stringify(name)} is not a repository (input repositories)`;
    throw new Failure(what, 'write OWNER/REPO: acme/widgets');
  }
  return name.replace(/\.git$/, '');
}

function host(name) {
  if (!/^[a-z0-9.-]+(:\d+)?$/i.test(name)) {
    const what = `${JSON.stringify(name)} is not a host (input host)`;
    throw new Failure(what, 'write the host as it stands in URLs, without https:// and without a path');
  }
  return name.toLowerCase();
}

/** `contents=read, issues=write`, or `contents: read` in lines: pairs of a permission and a level. */
export function permissions(text) {
  return list(text.replace(/[^\S\n]*[:=][^\S\n]*/g, '=')).map((item) => {
    const [name, level, ...rest] = item.split('=');
    if (!/^\w+$/.test(name) || !/^\w+$/.test(level ?? '') || rest.length > 0) {
      const what = `${JSON.stringify(item)} is not a permission and a level (input permissions)`;
      throw new Failure(what, 'write contents=read');
    }
    return [name, level];
  });
}

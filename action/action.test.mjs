// node --test action/action.test.mjs

import assert from 'node:assert/strict';
import { test } from 'node:test';

import { inShell, paths, settings } from './git.mjs';
import { configuration, told } from './helper.mjs';
import { permissions } from './inputs.mjs';
import { archiveFor } from './program.mjs';
import { environment, line } from './runner.mjs';

test('what is in a text cannot end a line that the runner obeys, or begin another', () => {
  assert.equal(line('error', '100%\r\n::stop-commands::x'), '::error::100%25%0D%0A::stop-commands::x');
});

test('other programs get neither the inputs nor what the runner gives to actions', () => {
  const before = process.env;
  process.env = { PATH: '/bin', 'INPUT_PRIVATE-KEY': 'k', STATE_folder: 'f', ACTIONS_RUNTIME_TOKEN: 't', GHAPP_HOST: 'h' };
  try {
    assert.deepEqual(environment(), { PATH: '/bin' });
  } finally {
    process.env = before;
  }
});

test('owners and repositories are told to git in every spelling', () => {
  const named = { owners: ['ACME'], repositories: ['globex/Gears'] };
  assert.deepEqual(paths(named, ['Acme', 'umbrella']), [
    'ACME', 'acme', 'Acme', 'globex/Gears', 'globex/Gears.git', 'globex/gears', 'globex/gears.git',
  ]);
});

test('the helper is one word of a shell, whatever is in its path', () => {
  assert.equal(inShell("/a b/it's"), "'/a b/it'\\''s'");
  assert.equal(settings('github.com', ['acme'], '/a b/p', '/c"d'), `[credential "https://github.com/acme"]
\thelper =
\thelper = "!'/a b/p' --config '/c\\"d'"
\tuseHttpPath = true
[http "https://github.com/acme"]
\textraHeader =
`);
});

test('permissions are pairs, in a line or in several', () => {
  const expected = [['contents', 'read'], ['issues', 'write']];
  for (const text of ['contents=read,issues=write', 'contents: read\nissues: write\n', ' contents = read  issues=write']) {
    assert.deepEqual(permissions(text), expected);
  }
  assert.throws(() => permissions('contents'), /is not a permission and a level/);
});

test('text of the workflow stays text in the configuration', () => {
  const inputs = { appId: 'a"\nb', owners: [], repositories: [], permissions: [], host: 'github.com' };
  assert.match(configuration(inputs), /^id = "a\\"\\nb"$/m);
  assert.doesNotMatch(configuration(inputs), /owners|repositories|permissions/);
});

test('each platform has its archive', () => {
  const sha256 = { 'x-v1-x86_64-unknown-linux-musl.tar.gz': 'a', 'x-v1-x86_64-pc-windows-msvc.zip': 'b' };
  assert.equal(archiveFor({ sha256 }, 'linux-x64')[1], 'a');
  assert.equal(archiveFor({ sha256 }, 'win32-x64')[1], 'b');
  assert.throws(() => archiveFor({ sha256 }, 'darwin-arm64'), /no build of git-credential-ghapp for darwin-arm64/);
  assert.throws(() => archiveFor({ sha256 }, 'aix-ppc64'), /no build/);
});

test('what the helper says is passed on: the last cause, and its hint', () => {
  const say = (...lines) => told(lines.map((it) => `git-credential-ghapp: ${it}\n`).join(''));
  const { message, hint } = say('warning: one', 'hint: x', 'error: two', 'hint: y');
  assert.deepEqual([message, hint], ['two', 'y']);
  assert.equal(say('error: two').hint, undefined);
  assert.equal(told('Killed\n'), undefined);
});

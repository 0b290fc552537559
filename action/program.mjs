// The program: one that is there, or the one of the Action's own release.

import { createHash } from 'node:crypto';
import { copyFileSync, chmodSync, existsSync, mkdirSync, readFileSync, rmSync } from 'node:fs';
import { basename, join, resolve } from 'node:path';

import { Failure, need, run } from './runner.mjs';

const NAME = process.platform === 'win32' ? 'git-credential-ghapp.exe' : 'git-credential-ghapp';

const TARGETS = {
  'linux-x64': 'x86_64-unknown-linux-musl',
  'linux-arm64': 'aarch64-unknown-linux-musl',
  'darwin-x64': 'x86_64-apple-darwin',
  'darwin-arm64': 'aarch64-apple-darwin',
  'win32-x64': 'x86_64-pc-windows-msvc',
  'win32-arm64': 'aarch64-pc-windows-msvc',
};

const OTHERWISE = 'or install git-credential-ghapp in an earlier step, and name it in the input program';

/** Puts the program into the folder `bin` of the job's folder, and gives its path. */
export function provide(given, folder) {
  const bin = join(folder, 'bin');
  mkdirSync(bin);
  const program = join(bin, NAME);
  if (given) {
    const path = resolve(given);
    if (!existsSync(path)) {
      throw new Failure(`${path} is not there (input program)`, 'name the file, or leave the input out');
    }
    copyFileSync(path, program);
  } else {
    const release = readRelease(new URL('release.json', import.meta.url));
    copyFileSync(download(release, folder), program);
  }
  chmodSync(program, 0o755);
  const ran = run(program, ['--version']);
  if (ran.status !== 0 || !ran.stdout.startsWith('git-credential-ghapp ')) {
    const what = `${given || 'the program of the release'} is no git-credential-ghapp that runs here`;
    throw new Failure(what, 'name one for this platform in the input program');
  }
  return program;
}

/** Which archives the Action's release has, and their checksums: whoever pins the Action has pinned them. */
function readRelease(file) {
  if (!existsSync(file)) {
    const what = 'this commit of the Action belongs to no release, so there is no program to download';
    throw new Failure(what, `use a released version, ${OTHERWISE}`);
  }
  return JSON.parse(readFileSync(file, 'utf8'));
}

/** The archive for a platform: its name and its SHA-256. */
export function archiveFor(release, platform) {
  const target = TARGETS[platform];
  const found = Object.entries(release.sha256).find(
    ([name]) => target && [`-${target}.tar.gz`, `-${target}.zip`].some((end) => name.endsWith(end)),
  );
  if (!found) {
    throw new Failure(`there is no build of git-credential-ghapp for ${platform}`, `build it from source, ${OTHERWISE}`);
  }
  return found;
}

/** Downloads and unpacks the program. Nothing is unpacked that is not what was released. */
function download(release, folder) {
  const [archive, expected] = archiveFor(release, `${process.platform}-${process.arch}`);
  const url = `${release.from}/${archive}`;
  const file = join(folder, archive);
  // curl knows the proxies and the certificates of the machine.
  const bounds = ['--connect-timeout', '20', '--max-time', '300', '--retry', '3', '--retry-max-time', '120'];
  const https = ['--proto', '=https', '--proto-redir', '=https', '--location'];
  const curl = need('curl', ['--fail', '--silent', '--show-error', ...https, ...bounds, '--output', file, url], {
    seconds: 600,
    hint: `install curl, ${OTHERWISE}`,
  });
  if (curl.status !== 0) {
    const why = curl.stderr.trim().split('\n').pop();
    throw new Failure(`cannot download ${url}: ${why}`, `check the network, and HTTPS_PROXY if there is a proxy, ${OTHERWISE}`);
  }
  const actual = createHash('sha256').update(readFileSync(file)).digest('hex');
  if (actual !== expected) {
    const what = `${url} is not what was released: its SHA-256 is ${actual}, and not ${expected}`;
    throw new Failure(what, 'somebody changed it on the way, or at its place: report it, and do not use it');
  }
  const unpacked = join(folder, 'unpacked');
  mkdirSync(unpacked);
  const tar = need(tarProgram(), ['-xf', archive, '-C', 'unpacked'], { cwd: folder, hint: `install tar, ${OTHERWISE}` });
  const program = join(unpacked, basename(archive).replace(/\.(tar\.gz|zip)$/, ''), NAME);
  if (tar.status !== 0 || !existsSync(program)) {
    throw new Failure(`cannot unpack ${archive}: ${tar.stderr.trim().split('\n').pop() || `there is no ${NAME} in it`}`);
  }
  rmSync(file);
  return program;
}

/** Windows has one that reads both formats; the one that comes with git does not. */
function tarProgram() {
  return process.platform === 'win32' ? join(process.env.SystemRoot ?? 'C:\\Windows', 'System32', 'tar.exe') : 'tar';
}

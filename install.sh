#!/bin/sh
# Installs git-credential-ghapp where git finds it: built from the source beside this file, or from a release. See --help.
set -eu

program=git-credential-ghapp
repository=https://github.com/git-credential-ghapp/git-credential-ghapp

usage() {
    cat <<EOF
usage: ./install.sh [--release [VERSION]]
       ./install.sh --uninstall [--yes]

Installs $program in PREFIX/bin, by default ~/.local/bin, with its manual page and completions for bash, zsh and fish in
PREFIX/share:
  PREFIX=/usr/local ./install.sh
It is built from the source that is beside this file. On Linux it is linked statically where rustup has the musl target of
this machine; it starts in half the time. git's configuration is not touched.
--release, and no source beside this file, installs a release instead, by default the latest, from
  $repository/releases
Its checksum is verified, and, where gh is there and logged in, its attestation.
--uninstall lets the program revoke its tokens and take back what setup wrote, and removes the files then. It asks first;
--yes is the answer beforehand.
EOF
}

say() { printf '%s\n' "$*"; }
fail() {
    printf 'install.sh: error: %s\n' "$1" >&2
    [ $# -lt 2 ] || printf 'install.sh: hint: %s\n' "$2" >&2
    exit 1
}
has() { command -v "$1" >/dev/null 2>&1; }
misused() {
    printf 'install.sh: error: %s\ninstall.sh: hint: ./install.sh --help\n' "$1" >&2
    exit 2
}

# The folder of the source. What comes through a pipe lies beside nothing.
source=
case $0 in
*install.sh)
    source=$(CDPATH='' cd -- "$(dirname -- "$0")" && pwd)
    grep -x "name = \"$program\"" "$source/Cargo.toml" >/dev/null 2>&1 || source=
    ;;
esac

action=build
[ -n "$source" ] || action=release
version=
yes=
while [ $# -gt 0 ]; do
    case $1 in
    --release)
        action=release
        case ${2:-} in v[0-9]* | [0-9]*)
            version=${2#v}
            shift
            ;;
        esac
        ;;
    --uninstall) action=uninstall ;;
    --yes | -y) yes=--yes ;;
    --help | -h)
        usage
        exit 0
        ;;
    *) misused "unexpected argument $1" ;;
    esac
    shift
done
case $version in *[!0-9A-Za-z.+-]*) misused "$version is not a version" ;; esac

if [ -z "${PREFIX:-}" ]; then
    [ -n "${HOME:-}" ] || fail 'neither PREFIX nor HOME is set' 'say where to install: PREFIX=/usr/local ./install.sh'
    PREFIX=$HOME/.local
fi
case $PREFIX in /*) ;; *) PREFIX=$(pwd)/$PREFIX ;; esac
folder=$PREFIX/bin
target=$folder/$program
manual=$PREFIX/share/man/man1/$program.1
for_bash=$PREFIX/share/bash-completion/completions/$program
for_zsh=$PREFIX/share/zsh/site-functions/_$program
for_fish=$PREFIX/share/fish/vendor_completions.d/$program.fish

# Whether a file is there, or a link, wherever that leads.
there() { [ -e "$1" ] || [ -L "$1" ]; }

uninstall() {
    # Only the program knows what there is to revoke and to take back.
    if [ -x "$target" ] && [ -z "$yes" ] && [ ! -t 0 ]; then
        fail 'there is nobody to confirm this, so nothing was changed' './install.sh --uninstall --yes'
    fi
    if [ -x "$target" ] && ! "$target" uninstall --with-program $yes; then
        fail 'its uninstall did not finish, so the program is kept' "see what is left: $target uninstall --dry-run"
    fi
    removed=
    for file in "$target" "$manual" "$for_bash" "$for_zsh" "$for_fish"; do
        there "$file" || continue
        rm -f -- "$file" || fail "cannot remove $file"
        removed=yes
        say "removed $file"
    done
    [ -n "$removed" ] || say "there is no $target"
}

missing=
lacks() { missing="${missing:+$missing, }$1"; }

# What cannot be written is found before minutes are spent on building. The new file has a name that nobody can foresee, so
# nobody can have put a link there; and it is beside its place, so that a helper that runs right now is not written over.
new=
work=
made=
made_above=
end() {
    [ -z "$new" ] || rm -f -- "$new"
    [ -z "$work" ] || rm -rf -- "$work"
    # Folders that were made for this, and hold nothing.
    for one in "$made" "$made_above"; do [ -z "$one" ] || rmdir -- "$one" 2>/dev/null || :; done
}
trap end EXIT
trap 'exit 130' HUP INT TERM
begin() {
    [ -d "$folder" ] || made=$folder
    [ -d "$PREFIX" ] || made_above=$PREFIX
    { mkdir -p -- "$folder" && new=$(mktemp "$folder/.$program.XXXXXXXXXX"); } 2>/dev/null ||
        fail "cannot write to $folder" 'choose another place: PREFIX=... ./install.sh'
}

# Puts the new file into its place. A link that is there goes, and what it leads to stays.
put_at() {
    [ ! -L "$2" ] || rm -f -- "$2"
    [ ! -d "$2" ] && chmod "$1" "$new" && mv -f -- "$new" "$2" && new=
}

build() {
    has git || lacks 'git (https://git-scm.com/downloads)'
    has cargo || lacks 'cargo (https://rustup.rs)'
    has cc || has gcc || has clang ||
        lacks 'a C compiler (Debian: apt-get install gcc libc6-dev; macOS: xcode-select --install)'
    [ -z "$missing" ] || fail "missing: $missing" 'install that, or a release: ./install.sh --release'
    begin

    # cargo and rustup obey files in the folder where they are called and in those above it. None may be somebody else's: beside
    # a script that was downloaded into /tmp everybody can put a source.
    cd -- "$source"
    # shellcheck disable=SC2012 # POSIX has no other way
    owner=$(ls -ldn . | awk '{print $3}')
    above=$source
    while :; do
        for file in Cargo.toml .cargo .cargo/config .cargo/config.toml rust-toolchain rust-toolchain.toml; do
            file=${above%/}/$file
            foreign=$(find "$file" -prune ! -user "$(id -u)" ! -user 0 ! -user "$owner" 2>/dev/null || :)
            [ -z "$foreign" ] ||
                fail "$file belongs to another user, and cargo would obey it" 'move what you install to a folder of your own'
        done
        [ "$above" != / ] || break
        above=$(dirname -- "$above")
    done

    # A static program starts in half the time: nothing is looked up and put together first.
    triple=
    if [ "$(uname -s)" = Linux ]; then
        static=$(uname -m)-unknown-linux-musl
        if [ ! -d "$(rustc --print sysroot)/lib/rustlib/$static" ]; then
            say "note: for a program that starts in half the time: rustup target add $static"
        elif ! has musl-gcc; then
            say "note: for a program that starts in half the time: install musl-gcc (Debian: apt-get install musl-tools)"
        else
            triple=$static
        fi
    fi
    builds=${CARGO_TARGET_DIR:-$source/target}
    cargo build --release --locked --target-dir "$builds" ${triple:+--target "$triple"} || fail 'the build failed'
    built=$builds/${triple:+$triple/}release/$program
    [ -f "$built" ] || fail "the build made no $built" 'unset CARGO_BUILD_TARGET and build.target'
    cp -- "$built" "$new" || fail "cannot write to $folder" 'choose another place: PREFIX=... ./install.sh'
}

# Downloads an address into a file: by https alone, also where a redirect leads, not for ever, and some 100 MB at most. busybox
# has a wget that does not verify certificates.
download() {
    if has curl; then
        why=$(
            ulimit -f 204800 2>/dev/null || :
            curl --proto '=https' --tlsv1.2 --fail --silent --show-error --location --max-redirs 5 --connect-timeout 30 \
                --speed-limit 1000 --speed-time 30 --max-time 900 --output "$2" "$1" 2>&1
        ) && return
    else
        why=$(
            ulimit -f 204800 2>/dev/null || :
            wget --server-response --no-verbose --tries=2 --timeout=30 --max-redirect=5 --output-document="$2" "$1" 2>&1
        ) && ! { printf '%s\n' "$why" | grep -i '^ *location: *http:' >/dev/null; } && return
    fi
    why=$(printf '%s\n' "$why" | grep . | tail -n 1)
    fail "cannot download $1: ${why:-it has no end}" "$3"
}

sum_of() { if has sha256sum; then sha256sum <"$1"; else shasum -a 256 <"$1"; fi | cut -d ' ' -f 1; }

# Puts the program of a release where the new one is made, after everything about it was verified.
release() {
    system=$(uname -s)
    machine=$(uname -m)
    from_source="build it from its source, with Rust: git clone $repository && ./$program/install.sh"
    case $system:$machine in
    Linux:x86_64 | Linux:amd64) triple=x86_64-unknown-linux-musl ;;
    Linux:aarch64 | Linux:arm64) triple=aarch64-unknown-linux-musl ;;
    Darwin:arm64) triple=aarch64-apple-darwin ;;
    Darwin:x86_64) triple=x86_64-apple-darwin ;;
    MINGW*:* | MSYS*:* | CYGWIN*:*) fail 'this script does not install on Windows' "use scoop, or a zip of $repository/releases" ;;
    *) fail "no release is built for $system on $machine" "$from_source" ;;
    esac
    has curl || { wget --version 2>/dev/null | grep 'GNU Wget' >/dev/null; } || lacks 'curl or GNU wget'
    has sha256sum || has shasum || lacks 'sha256sum or shasum'
    has tar || lacks tar
    has gzip || lacks gzip
    [ -z "$missing" ] || fail "missing: $missing" 'install it with the package manager of this machine'
    begin
    work=$(mktemp -d "${TMPDIR:-/tmp}/$program.XXXXXXXXXX" 2>/dev/null) ||
        fail "cannot write to ${TMPDIR:-/tmp}" 'choose another folder: TMPDIR=... ./install.sh --release'

    if [ -n "$version" ]; then sums=download/v$version/SHA256SUMS; else sums=latest/download/SHA256SUMS; fi
    download "$repository/releases/$sums" "$work/SHA256SUMS" \
        "see which releases there are: $repository/releases (a proxy is named in https_proxy)"
    archive=$(sed -n "s/^[0-9a-f]\{64\}  \($program-v[0-9A-Za-z.+-]*-$triple\.tar\.gz\)\$/\1/p" "$work/SHA256SUMS")
    case $archive in
    '') fail "the release has nothing for $triple" "$from_source" ;;
    *[!0-9A-Za-z.+_-]*) fail 'the SHA256SUMS of the release name several versions' "report it: $repository/issues" ;;
    esac
    its=${archive#"$program-v"}
    its=${its%"-$triple.tar.gz"}
    [ "${version:-$its}" = "$its" ] || fail "the release v$version names an archive of v$its" "report it: $repository/issues"
    download "$repository/releases/download/v$its/$archive" "$work/$archive" "see $repository/releases"
    expected=$(sed -n "s/^\([0-9a-f]\{64\}\)  $archive\$/\1/p" "$work/SHA256SUMS")
    [ "$(sum_of "$work/$archive")" = "$expected" ] ||
        fail "the checksum of $archive does not match, so it is not installed" \
            "it was damaged or changed on its way: try again, or report it: $repository/issues"
    attested
    member=${archive%.tar.gz}/$program
    { tar -xzOf "$work/$archive" "$member" >"$new" && [ -s "$new" ] && chmod 755 "$new"; } 2>/dev/null ||
        fail "cannot unpack $member" "report it: $repository/issues"
    runs=$("$new" --version 2>/dev/null) || runs=nothing
    case $runs in
    "$program $its" | "$program $its ("*) ;;
    *) fail "the program of $archive does not run here" "$from_source" ;;
    esac
}

# The attestation says which workflow made the archive, signed with a key that is not the repository's.
attested() {
    if has gh && gh attestation verify --help 2>/dev/null | grep -e --signer-workflow >/dev/null &&
        gh auth status --hostname github.com >/dev/null 2>&1; then
        its_name=${repository#https://github.com/}
        gh attestation verify "$work/$archive" --repo "$its_name" \
            --signer-workflow "$its_name/.github/workflows/release.yml" >/dev/null ||
            fail "gh does not confirm that the release workflow made $archive, so it is not installed" \
                "report it: $repository/issues"
        say "verified the checksum and the attestation of $archive"
    else
        say "verified the checksum of $archive"
        say 'note: its attestation was not verified: that takes gh 2.49 or later, logged in to github.com'
    fi
}

# What comes beside the program is made by it, and is no reason to fail.
beside() {
    file=$1
    shift
    if { mkdir -p -- "$(dirname -- "$file")" && new=$(mktemp "$file.XXXXXXXXXX") &&
        "$target" "$@" >"$new" && put_at 644 "$file"; } 2>/dev/null; then
        say "installed $file"
    else
        [ -z "$new" ] || rm -f -- "$new"
        new=
        say "note: $file cannot be written"
    fi
}

"$action"
[ "$action" != uninstall ] || exit 0
put_at 755 "$target" || fail "cannot write $target" 'choose another place: PREFIX=... ./install.sh'
say "installed $target"
beside "$manual" man
beside "$for_bash" completions bash
beside "$for_zsh" completions zsh
beside "$for_fish" completions fish

case ":${PATH:-}:" in
*":$folder:"*) call=$program ;;
*)
    call=$target
    case $call in *[!A-Za-z0-9/._-]*) call="'$call'" ;; esac
    say "note: $folder is not in PATH; setup gives git the whole path"
    ;;
esac
say "Next, one of these:
  $call register    # makes a GitHub App in your browser, and sets it up
  $call setup       # sets up an App that you have, with its client ID and its private key"

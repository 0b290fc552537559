#!/bin/sh
# Builds git-credential-ghapp and installs it where git finds it. See --help.
set -eu

program=git-credential-ghapp

usage() {
    cat <<EOF
usage: ./install.sh [--uninstall [--yes]]

Builds $program and installs it in PREFIX/bin, by default ~/.local/bin, with its manual page and completions for bash,
zsh and fish in PREFIX/share:
  PREFIX=/usr/local ./install.sh
On Linux it is linked statically where rustup has the musl target of this machine; it starts in less than half the time.
git's configuration is not touched.
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

action=install
yes=
for argument; do
    case $argument in
    --uninstall) action=uninstall ;;
    --yes | -y) yes=--yes ;;
    --help | -h)
        usage
        exit 0
        ;;
    *)
        usage >&2
        exit 2
        ;;
    esac
done

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

if [ "$action" = uninstall ]; then
    # Only the program knows what there is to revoke and to take back.
    if [ -x "$target" ] && [ -z "$yes" ] && [ ! -t 0 ]; then
        fail 'there is nobody to confirm this, so nothing was changed' './install.sh --uninstall --yes'
    fi
    if [ -x "$target" ] && ! "$target" uninstall $yes; then
        fail 'its uninstall did not get to its end, so the program is kept' "see what is left: $target uninstall --dry-run"
    fi
    removed=
    for file in "$target" "$manual" "$for_bash" "$for_zsh" "$for_fish"; do
        there "$file" || continue
        rm -f -- "$file" || fail "cannot remove $file"
        removed=yes
        say "removed $file"
    done
    [ -n "$removed" ] || say "there is no $target"
    exit 0
fi

missing=
lacks() { missing="${missing:+$missing, }$1"; }
command -v git >/dev/null 2>&1 || lacks 'git (https://git-scm.com/downloads)'
command -v cargo >/dev/null 2>&1 || lacks 'cargo (https://rustup.rs)'
command -v cc >/dev/null 2>&1 || command -v gcc >/dev/null 2>&1 || command -v clang >/dev/null 2>&1 ||
    lacks 'a C compiler (Debian: apt-get install gcc libc6-dev; macOS: xcode-select --install)'
[ -z "$missing" ] || fail "missing: $missing"

# What cannot be written is found before minutes are spent on building. The new file has a name that nobody can foresee, so
# nobody can have put a link there; and it is beside its place, so that a helper that runs right now is not written over.
new=
trap '[ -z "$new" ] || rm -f -- "$new"' EXIT
trap 'exit 130' HUP INT TERM
{ mkdir -p -- "$folder" && new=$(mktemp "$folder/.$program.XXXXXXXXXX"); } 2>/dev/null ||
    fail "cannot write to $folder" 'choose another place: PREFIX=... ./install.sh'

# cargo and rustup obey files in the folder where they are called and in those above it: that is this program's own, and what
# is above it must not be somebody else's.
source=$(CDPATH='' cd -- "$(dirname -- "$0")" && pwd)
cd -- "$source"
# shellcheck disable=SC2012 # POSIX has no other way
owner=$(ls -ldn . | awk '{print $3}')
above=$source
while [ "$above" != / ]; do
    above=$(dirname -- "$above")
    for file in .cargo .cargo/config .cargo/config.toml rust-toolchain rust-toolchain.toml; do
        file=${above%/}/$file
        foreign=$(find "$file" -prune ! -user "$(id -u)" ! -user 0 ! -user "$owner" 2>/dev/null || :)
        [ -z "$foreign" ] || fail "$file belongs to another user, and cargo would obey it" 'move the source to a folder of your own'
    done
done

# A static program starts in less than half the time: nothing is looked up and put together first.
triple=
if [ "$(uname -s)" = Linux ]; then
    static=$(uname -m)-unknown-linux-musl
    if [ ! -d "$(rustc --print sysroot)/lib/rustlib/$static" ]; then
        say "note: for a program that starts in less than half the time: rustup target add $static"
    elif ! command -v musl-gcc >/dev/null 2>&1; then
        say "note: for a program that starts in less than half the time: install musl-gcc (Debian: apt-get install musl-tools)"
    else
        triple=$static
    fi
fi
builds=${CARGO_TARGET_DIR:-$source/target}
cargo build --release --locked --target-dir "$builds" ${triple:+--target "$triple"} || fail 'the build failed'
built=$builds/${triple:+$triple/}release/$program
[ -f "$built" ] || fail "the build made no $built" 'unset CARGO_BUILD_TARGET and build.target'

# Puts the new file into its place. A link that is there goes, and what it leads to stays.
put_at() {
    [ ! -L "$2" ] || rm -f -- "$2"
    [ ! -d "$2" ] && chmod "$1" "$new" && mv -f -- "$new" "$2" && new=
}
{ cp -- "$built" "$new" && put_at 755 "$target"; } ||
    fail "cannot write $target" 'choose another place: PREFIX=... ./install.sh'
say "installed $target"

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
say 'Next, with the id and the private key of your App:'
say "  $call setup --app-id ID --private-key FILE"

#!/bin/sh
# Builds git-credential-ghapp and installs it where git finds it. See --help.
set -eu

program=git-credential-ghapp

usage() {
    cat <<EOF
usage: ./install.sh [--uninstall]

Builds $program and installs it in PREFIX/bin, by default ~/.local/bin:
  PREFIX=/usr/local ./install.sh
git's configuration is not touched.
EOF
}

say() { printf '%s\n' "$*"; }
fail() {
    printf 'install.sh: error: %s\n' "$1" >&2
    [ $# -lt 2 ] || printf 'install.sh: hint: %s\n' "$2" >&2
    exit 1
}

action=install
for argument; do
    case $argument in
    --uninstall) action=uninstall ;;
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
folder=$PREFIX/bin
target=$folder/$program

if [ "$action" = uninstall ]; then
    if [ -e "$target" ]; then
        rm -f -- "$target" || fail "cannot remove $target"
        say "removed $target"
    else
        say "there is no $target"
    fi
    say 'Where git was told about it, tell it to forget:'
    say '  git config --global --unset-all credential.https://github.com.helper'
    exit 0
fi

missing=
lacks() { missing="${missing:+$missing, }$1"; }
command -v git >/dev/null 2>&1 || lacks 'git (https://git-scm.com/downloads)'
command -v cargo >/dev/null 2>&1 || lacks 'cargo (https://rustup.rs)'
command -v cc >/dev/null 2>&1 || command -v gcc >/dev/null 2>&1 || command -v clang >/dev/null 2>&1 ||
    lacks 'a C compiler (Debian: apt-get install gcc libc6-dev; macOS: xcode-select --install)'
[ -z "$missing" ] || fail "missing: $missing"

source=$(CDPATH='' cd -- "$(dirname -- "$0")" && pwd)
cargo build --release --locked --manifest-path "$source/Cargo.toml" || fail 'the build failed'
built=${CARGO_TARGET_DIR:-$source/target}/release/$program
[ -f "$built" ] || fail "the build made no $built" 'unset CARGO_BUILD_TARGET and build.target'

mkdir -p -- "$folder" || fail "cannot make $folder" 'choose another place: PREFIX=... ./install.sh'
# Beside its place first, so that a helper that runs right now is not written over.
put_in_place() {
    cp -- "$built" "$folder/.$program.new" && chmod 755 "$folder/.$program.new" &&
        mv -f -- "$folder/.$program.new" "$target"
}
if ! put_in_place; then
    rm -f -- "$folder/.$program.new"
    fail "cannot write $target" 'choose another place: PREFIX=... ./install.sh'
fi
say "installed $target"

case ":${PATH:-}:" in
*":$folder:"*) helper=ghapp ;;
*)
    # git takes an absolute path for a helper; blanks in it need a shell's quoting.
    helper=$target
    case $helper in *[!A-Za-z0-9/._-]*) helper="!'$helper'" ;; esac
    say "note: $folder is not in PATH, so git is given the whole path"
    ;;
esac
say 'Next, describe your App in the configuration file (README, section Configuring), and run:'
say "  git config --global credential.https://github.com.helper \"$helper\""
say '  git config --global credential.https://github.com.useHttpPath true'

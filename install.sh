#!/bin/sh
# Builds git-credential-ghapp and installs it where git finds it. See --help.
set -eu

program=git-credential-ghapp

usage() {
    cat <<EOF
usage: ./install.sh [--uninstall]

Builds $program and installs it in PREFIX/bin, by default ~/.local/bin, with its manual page and completions for bash,
zsh and fish in PREFIX/share:
  PREFIX=/usr/local ./install.sh
On Linux it is linked statically where rustup has the musl target of this machine; it starts in less than half the time.
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
manual=$PREFIX/share/man/man1/$program.1
for_bash=$PREFIX/share/bash-completion/completions/$program
for_zsh=$PREFIX/share/zsh/site-functions/_$program
for_fish=$PREFIX/share/fish/vendor_completions.d/$program.fish

if [ "$action" = uninstall ]; then
    removed=
    for file in "$target" "$manual" "$for_bash" "$for_zsh" "$for_fish"; do
        [ -e "$file" ] || continue
        rm -f -- "$file" || fail "cannot remove $file"
        removed=yes
        say "removed $file"
    done
    [ -n "$removed" ] || say "there is no $target"
    say 'What setup wrote is taken back, while the program is still there, with:'
    say "  $program setup --undo"
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
cargo build --release --locked --manifest-path "$source/Cargo.toml" ${triple:+--target "$triple"} ||
    fail 'the build failed'
built=${CARGO_TARGET_DIR:-$source/target}/${triple:+$triple/}release/$program
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

# What comes beside the program is made by it, and is no reason to fail.
beside() {
    file=$1
    shift
    if mkdir -p -- "$(dirname -- "$file")" 2>/dev/null && "$target" "$@" >"$file" 2>/dev/null; then
        say "installed $file"
    else
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

#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| git_credential_ghapp::fuzzing::socket(bytes));

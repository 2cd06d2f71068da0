#![no_main]
libfuzzer_sys::fuzz_target!(|data: &[u8]| hyperty_conformance::fuzz::backup::judge(data));

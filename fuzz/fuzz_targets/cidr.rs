#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| moxxie_fuzz::targets::cidr(data));

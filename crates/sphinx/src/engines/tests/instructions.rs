//! What the compiler made of the engine for AVX-512, in the program that runs this test.

use std::collections::BTreeSet;
use std::env::current_exe;
use std::process::Command;

/// Functions on vectors that are not inlined. If none is found, the names have changed and nothing was checked.
const EXPECTED: [&str; 8] = [
    "multiply_points",
    "look_up_columns",
    "fill_table",
    "square_times",
    "double_times",
    "sha256_compress",
    "sha256_compress_public",
    "hash_round",
];

/// The instructions that make a branch of a vector's contents, or an address, or whose time depends on operands.
fn is_forbidden(instruction: &str) -> bool {
    let flags_of_masks = ["kortest", "ktest", "vtest"].iter().any(|prefix| instruction.starts_with(prefix));
    // vptestm and vptestnm set a mask register, and are fine.
    let flags_of_vectors = instruction == "vptest";
    let addresses = instruction.contains("gather") || instruction.contains("scatter");
    flags_of_masks || flags_of_vectors || addresses || instruction.starts_with("div") || instruction.starts_with("idiv")
}

/// Functions that handle packets, lanes and columns by number, or whose bounds and pointers the compiler checks in builds
/// for tests. Their conditional jumps have been read: they depend on numbers, lengths, versions and whether a packet is
/// dropped.
const WITH_NUMBERS: [&str; 20] = [
    "Units",
    "load_points",
    "load_vectors",
    "fill_table",
    "digits",
    "multiply_points",
    "look_up_columns",
    "multiply_all",
    "multiply_each",
    "divide",
    "to_words",
    "prepare_salts",
    "blocks_for",
    "hmac_outer",
    "digests",
    "expand",
    "derive_keys",
    "verify_macs",
    "make_replay_keys",
    "expand_payload_keys",
];
/// As those, with the payload.
const WITH_PAYLOADS: [&str; 3] = ["decrypt_payloads", "hash_round", "stream_round"];

/// An instruction and its address in the program.
struct Line<'a> {
    address: u64,
    instruction: &'a str,
    operands: &'a str,
}

impl<'a> Line<'a> {
    /// Of a line such as `  8a5c0:\tjne    8a580 <…>`.
    fn parse(line: &'a str) -> Option<Self> {
        let (address, rest) = line.trim().split_once(":\t")?;
        let (instruction, operands) = rest.split_once(' ').unwrap_or((rest, ""));
        Some(Self { address: u64::from_str_radix(address, 16).ok()?, instruction, operands: operands.trim() })
    }

    /// A conditional jump that is not the end of a loop.
    fn skips(&self) -> bool {
        let target = self.operands.split(' ').next().and_then(|target| u64::from_str_radix(target, 16).ok());
        let is_conditional = self.instruction.starts_with('j') && self.instruction != "jmp";
        is_conditional && target.is_none_or(|target| target > self.address)
    }
}

/// The name in a mangled symbol of the module `hardware`, without that of a closure.
fn function_of(symbol: &str) -> Option<&str> {
    let (_, path) = symbol.split_once("avx5128hardware")?;
    let name = path.trim_start_matches(|c: char| c.is_ascii_digit());
    let len: usize = path[..path.len() - name.len()].parse().ok()?;
    name.get(..len)
}

#[test]
fn secrets_decide_no_branch_and_no_address() {
    let program = current_exe().unwrap();
    let Ok(output) = Command::new("objdump").args(["--disassemble", "--no-show-raw-insn"]).arg(program).output() else {
        println!("not checked: objdump (binutils) is not installed");
        return;
    };
    let listing = String::from_utf8_lossy(&output.stdout);
    let (mut function, mut found, mut bad) = (None, BTreeSet::new(), Vec::new());
    for text in listing.lines() {
        if let Some((_, symbol)) = text.strip_suffix(">:").and_then(|text| text.split_once(" <")) {
            function = function_of(symbol);
        } else if let (Some(name), Some(line)) = (function, Line::parse(text)) {
            found.extend(EXPECTED.into_iter().filter(|expected| *expected == name));
            let has_numbers = WITH_NUMBERS.contains(&name) || WITH_PAYLOADS.contains(&name);
            if is_forbidden(line.instruction) || line.skips() && !has_numbers {
                bad.push(format!("{name}: {}", text.trim()));
            }
        }
    }
    assert_eq!(found, BTreeSet::from(EXPECTED), "functions in {} lines", listing.lines().count());
    assert!(bad.is_empty(), "{bad:#?}");
}

#[test]
fn jumps_over_instructions_are_told_from_loops() {
    let line = |text| Line::parse(text).unwrap();
    assert!(line("   89ab0:\tjne    89ac0 <f+0x10>").skips());
    assert!(!line("   89ab0:\tjne    89a20 <f+0x7b0>").skips());
    assert!(!line("   89ab0:\tjmp    89ac0 <f+0x10>").skips());
    assert!(!line("   89ab0:\tvpaddd %zmm0,%zmm1,%zmm2").skips());
    assert_eq!(function_of("_ZN7engines6avx5128hardware12square_times17h00E"), Some("square_times"));
    assert_eq!(function_of("_ZN7engines6avx5125model12square_times17h00E"), None);
}

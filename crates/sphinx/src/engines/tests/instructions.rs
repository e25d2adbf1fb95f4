//! What the compiler made of the engine for AVX-512, in the program that runs this test.

use std::collections::BTreeSet;
use std::env::current_exe;
use std::process::Command;

/// Functions on vectors that are not inlined. If none is found, the names have changed and nothing was checked.
const EXPECTED: [&str; 6] =
    ["multiply_points", "look_up_columns", "fill_table", "root_power", "sha256_compress", "hash_round"];

/// The instructions that make a branch of a vector's contents, or an address, or whose time depends on operands.
fn is_forbidden(instruction: &str) -> bool {
    let flags_of_masks = ["kortest", "ktest", "vtest"].iter().any(|prefix| instruction.starts_with(prefix));
    // vptestm and vptestnm set a mask register, and are fine.
    let flags_of_vectors = instruction == "vptest";
    let addresses = instruction.contains("gather") || instruction.contains("scatter");
    flags_of_masks || flags_of_vectors || addresses || instruction.starts_with("div") || instruction.starts_with("idiv")
}

#[test]
fn vectors_decide_no_branch_and_no_address() {
    let program = current_exe().unwrap();
    let arguments = ["--disassemble", "--no-show-raw-insn", "--no-addresses"];
    let Ok(output) = Command::new("objdump").args(arguments).arg(program).output() else {
        println!("not checked: objdump (binutils) is not installed");
        return;
    };
    let listing = String::from_utf8_lossy(&output.stdout);
    let (mut function, mut found, mut bad) = ("", BTreeSet::new(), Vec::new());
    for line in listing.lines() {
        if let Some(name) = line.strip_prefix('<').and_then(|line| line.strip_suffix(">:")) {
            function = name;
        } else if function.contains("avx5128hardware") {
            let instruction = line.split_whitespace().next().unwrap_or_default();
            found.extend(EXPECTED.into_iter().filter(|expected| function.contains(expected)));
            if is_forbidden(instruction) {
                bad.push(format!("{function}: {}", line.trim()));
            }
        }
    }
    assert_eq!(found, BTreeSet::from(EXPECTED), "functions in {} lines", listing.lines().count());
    assert!(bad.is_empty(), "{bad:#?}");
}

//! SHA-256: of lists of parts, and of files that hold their own.
//!
//! Takes: parts; a file's bytes. Gives: hexadecimal text, equal on every machine. Never: opens a file.

use sha2::{Digest, Sha256};

/// A hash of parts, each with its length in front: no two lists of parts give equal bytes.
#[derive(Default)]
pub struct Hash(Sha256);

impl Hash {
    /// Adds bytes.
    pub fn bytes(&mut self, bytes: &[u8]) -> &mut Self {
        self.number(bytes.len());
        self.0.update(bytes);
        self
    }

    /// Adds text.
    pub fn text(&mut self, text: &str) -> &mut Self {
        self.bytes(text.as_bytes())
    }

    /// Adds a number.
    pub fn number(&mut self, n: usize) -> &mut Self {
        self.0.update((n as u64).to_le_bytes());
        self
    }

    /// Adds single-precision numbers, bit for bit.
    pub fn floats(&mut self, all: &[f32]) -> &mut Self {
        self.number(all.len());
        for some in all.chunks(1 << 14) {
            let bytes: Vec<u8> = some.iter().flat_map(|x| x.to_le_bytes()).collect();
            self.0.update(bytes);
        }
        self
    }

    /// The hash as hexadecimal text.
    pub fn done(self) -> String {
        hex(&self.0.finalize())
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|b| format!("{b:02x}")).collect()
}

/// The entry of a file's JSON that holds the hash of the file, which is taken with zeros in its place.
pub const SEAL: &str = "sha256";

/// The entry's value until the hash is known.
pub fn blank() -> String {
    "0".repeat(64)
}

/// Writes the hash of a file into its entry [`SEAL`], which is blank.
pub fn seal(mut bytes: Vec<u8>) -> Vec<u8> {
    if let Some(at) = entry(&bytes) {
        let hash = hex(&Sha256::digest(&bytes));
        bytes[at..at + hash.len()].copy_from_slice(hash.as_bytes());
    }
    bytes
}

/// Holds a file against the hash in it.
pub fn check_seal(bytes: &[u8]) -> Result<(), String> {
    let at = entry(bytes).ok_or("it does not hold the hash that this version writes into it")?;
    let mut blanked = bytes.to_vec();
    blanked[at..at + 64].copy_from_slice(blank().as_bytes());
    match hex(&Sha256::digest(&blanked)).as_bytes() == &bytes[at..at + 64] {
        true => Ok(()),
        false => Err("it is damaged: its bytes are not those that were written".into()),
    }
}

/// Where the value of the entry begins.
fn entry(bytes: &[u8]) -> Option<usize> {
    let key = format!("\"{SEAL}\":\"");
    let at = bytes.windows(key.len()).position(|w| w == key.as_bytes())? + key.len();
    (bytes.get(at + 64) == Some(&b'"')).then_some(at)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bit_that_flips_is_found_wherever_it_stands() {
        let text = format!(r#"{{"a":[1,2],"{SEAL}":"{}","b":"x"}}"#, blank());
        let sealed = seal(text.into_bytes());
        assert!(check_seal(&sealed).is_ok());
        for bit in 0..8 * sealed.len() {
            let mut other = sealed.clone();
            other[bit / 8] ^= 1 << (bit % 8);
            assert!(check_seal(&other).is_err(), "bit {bit}");
        }
        assert!((0..sealed.len()).all(|n| check_seal(&sealed[..n]).is_err()));
    }

    #[test]
    fn hashes_are_those_of_the_standard() {
        // FIPS 180-4, appendix B.1.
        let abc = hex(&Sha256::digest(b"abc"));
        assert_eq!(abc, "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
        let [mut one, mut other] = [Hash::default(), Hash::default()];
        one.text("ab").text("c");
        other.text("a").text("bc");
        assert_ne!(one.done(), other.done());
    }
}

//! What every script begins with: what it is, for whom, and what the reader has to know.

use super::Network;

/// Which builds of iPXE fetch `autoexec.ipxe` from the TFTP server they came from: those after 17
/// January 2022 (ipxe/ipxe, src/interface/efi/efi_autoexec.c). Debian 13's was seen to.
pub const KNOWS_AUTOEXEC: &str = "iPXE built after January 17, 2022: 2.0 and Debian 13's package are, 1.21.1, Debian 12's and every 20220113 package are not";

/// The remarks at the head of a script.
#[derive(Debug, Clone, Copy)]
pub struct Remarks<'a> {
    /// What begins a line of remarks in this language, such as `#`.
    pub mark: &'a str,
    /// What this is, for example "MikroTik RouterOS 7.16 and later".
    pub title: &'a str,
    /// How it is put to use, in one or two lines.
    pub apply: &'a [&'a str],
}

impl Remarks<'_> {
    /// The head of a script for this network: title, values, how to apply it, warnings.
    pub fn head(self, network: &Network, warnings: &[String]) -> String {
        let mark = self.mark;
        let mut text = format!(
            "{mark} {}\n{mark} network boot by Moxxie: {} -> {}\n",
            self.title, network.subnet, network.boot_url
        );
        for line in self.apply {
            text.push_str(&comment_block(mark, line));
        }
        for warning in warnings {
            text.push_str(&comment_block(mark, &format!("NOTE: {warning}")));
        }
        text
    }
}

/// A text as remarks, folded at about 100 characters. Line breaks in it begin new remarks, so that
/// nothing of it can become a command.
pub fn comment_block(mark: &str, text: &str) -> String {
    let mut out = String::new();
    for line in text.split(['\n', '\r']) {
        let mut column = 0;
        for word in line.split(' ').filter(|word| !word.is_empty()) {
            let word: String = word.chars().filter(|c| c.is_ascii_graphic()).collect();
            if column == 0 || column + word.len() > 100 {
                if column > 0 {
                    out.push('\n');
                }
                out.push_str(mark);
                column = mark.len();
            }
            out.push(' ');
            out.push_str(&word);
            column += word.len() + 1;
        }
        if column > 0 {
            out.push('\n');
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn remarks_stay_remarks() {
        assert_eq!(comment_block("#", "a b\nsystem reset\r\u{7}c"), "# a b\n# system reset\n# c\n");
        let folded = comment_block("!", &"word ".repeat(60));
        assert!(folded.lines().all(|line| line.starts_with("! word") && line.len() <= 105), "{folded}");
        assert_eq!(folded.matches("word").count(), 60);
    }
}

//! A writer of databases in `MaxMind`'s format for the tests, by
//! <https://maxmind.github.io/MaxMind-DB/>.

/// A value in the data section.
pub(super) enum Value {
    Text(&'static str),
    Number(u32),
    Map(Vec<(&'static str, Value)>),
}

#[derive(Clone, Copy)]
enum Child {
    Nothing,
    Node(usize),
    Data(usize),
}

/// A database under construction.
pub(super) struct Mmdb {
    ipv6: bool,
    nodes: Vec<[Child; 2]>,
    data: Vec<u8>,
}

impl Mmdb {
    pub(super) fn new(ipv6: bool) -> Self {
        Self {
            ipv6,
            nodes: vec![[Child::Nothing; 2]],
            data: Vec::new(),
        }
    }

    /// Adds a network, which must not overlap another one. `bits` is its address from the
    /// top; IPv4 in an IPv6 tree is at `::/96`.
    pub(super) fn insert(&mut self, bits: u128, prefix: u32, value: &Value) {
        let offset = self.data.len();
        encode(value, &mut self.data);
        let mut node = 0;
        for depth in 0..prefix - 1 {
            node = self.descend(node, bit(bits, depth));
        }
        self.nodes[node][bit(bits, prefix - 1)] = Child::Data(offset);
    }

    pub(super) fn build(&self) -> Vec<u8> {
        let mut file = Vec::new();
        for child in self.nodes.iter().flatten() {
            file.extend(self.pointer(*child).to_be_bytes());
        }
        file.extend([0; 16]);
        file.extend(&self.data);
        file.extend(b"\xab\xcd\xefMaxMind.com");
        self.metadata(&mut file);
        file
    }

    fn descend(&mut self, node: usize, side: usize) -> usize {
        if let Child::Node(next) = self.nodes[node][side] {
            return next;
        }
        let next = self.nodes.len();
        self.nodes.push([Child::Nothing; 2]);
        self.nodes[node][side] = Child::Node(next);
        next
    }

    fn pointer(&self, child: Child) -> u32 {
        let count = self.nodes.len();
        let pointer = match child {
            Child::Nothing => count,
            Child::Node(node) => node,
            Child::Data(offset) => count + 16 + offset,
        };
        u32::try_from(pointer).unwrap()
    }

    fn metadata(&self, file: &mut Vec<u8>) {
        let node_count = u32::try_from(self.nodes.len()).unwrap();
        control(MAP, 9, file);
        number("binary_format_major_version", U16, &[2], file);
        number("binary_format_minor_version", U16, &[], file);
        number("build_epoch", U64, &[1], file);
        number("ip_version", U16, &[if self.ipv6 { 6 } else { 4 }], file);
        number("node_count", U32, &node_count.to_be_bytes(), file);
        number("record_size", U16, &[32], file);
        text("database_type", file);
        text("Test-Country", file);
        text("description", file);
        control(MAP, 0, file);
        text("languages", file);
        control(ARRAY, 0, file);
    }
}

const TEXT: u8 = 2;
const U16: u8 = 5;
const U32: u8 = 6;
const MAP: u8 = 7;
const U64: u8 = 9;
const ARRAY: u8 = 11;

fn bit(bits: u128, depth: u32) -> usize {
    usize::from(bits << depth >> 127 == 1)
}

fn control(kind: u8, size: usize, file: &mut Vec<u8>) {
    let size = u8::try_from(size).unwrap();
    assert!(size < 29, "longer sizes are not written here");
    match kind {
        ..=7 => file.push(kind << 5 | size),
        _ => file.extend([size, kind - 7]),
    }
}

fn number(key: &str, kind: u8, bytes: &[u8], file: &mut Vec<u8>) {
    text(key, file);
    control(kind, bytes.len(), file);
    file.extend(bytes);
}

fn text(text: &str, file: &mut Vec<u8>) {
    control(TEXT, text.len(), file);
    file.extend(text.as_bytes());
}

fn encode(value: &Value, file: &mut Vec<u8>) {
    match value {
        Value::Text(content) => text(content, file),
        Value::Number(number) => {
            control(U32, 4, file);
            file.extend(number.to_be_bytes());
        }
        Value::Map(entries) => {
            control(MAP, entries.len(), file);
            for (key, value) in entries {
                text(key, file);
                encode(value, file);
            }
        }
    }
}

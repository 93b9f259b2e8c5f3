//! What `tinypeer status --json` says.

use serde_json::Value;

/// The state of a running peer.
#[derive(Clone, PartialEq, Debug)]
pub struct Status {
    /// Entries of its index that are files.
    pub files: u64,
    /// Their bytes.
    pub bytes: u64,
    /// Its index sequence.
    pub sequence: u64,
    /// Entries known of and not landed yet.
    pub pending: u64,
    /// Conflict copies in `share/`.
    pub conflicts: u64,
    /// What is wrong, in sentences.
    pub errors: Vec<String>,
    /// The configured peers, in the order of `--ip`.
    pub peers: Vec<PeerStatus>,
    /// How many times it flushed something.
    pub flushes: u64,
}

/// What a peer knows of another one.
#[derive(Clone, PartialEq, Debug)]
pub struct PeerStatus {
    /// As configured, with the port.
    pub address: String,
    /// Whether there is a session.
    pub connected: bool,
    /// Round trip in microseconds; `None` until it was measured.
    pub rtt_us: Option<u64>,
    /// Its index sequence.
    pub sequence: u64,
    /// Bytes sent to it, in all datagrams.
    pub bytes_sent: u64,
    /// Bytes received from it, in all datagrams.
    pub bytes_received: u64,
    /// Contents being fetched from it.
    pub transfers: u64,
}

impl Status {
    /// Reads the object; an error names the first field that is missing or of another type.
    pub fn parse(json: &str) -> Result<Self, String> {
        let value: Value =
            serde_json::from_str(json).map_err(|error| format!("{error} in {json:?}"))?;
        let errors = array(&value, "errors")?
            .iter()
            .map(|error| error.as_str().map(str::to_owned));
        Ok(Self {
            files: number(&value, "files")?,
            bytes: number(&value, "bytes")?,
            sequence: number(&value, "sequence")?,
            pending: number(&value, "pending")?,
            conflicts: number(&value, "conflicts")?,
            errors: errors
                .collect::<Option<_>>()
                .ok_or("errors: not all are sentences")?,
            peers: array(&value, "peers")?
                .iter()
                .map(PeerStatus::parse)
                .collect::<Result<_, _>>()?,
            flushes: array(&value["flushes"], "counts")?
                .iter()
                .filter_map(Value::as_u64)
                .sum(),
        })
    }

    /// Bytes received from all peers since the start.
    pub fn received(&self) -> u64 {
        self.peers.iter().map(|peer| peer.bytes_received).sum()
    }

    /// Bytes sent to all peers since the start.
    pub fn sent(&self) -> u64 {
        self.peers.iter().map(|peer| peer.bytes_sent).sum()
    }
}

impl PeerStatus {
    fn parse(value: &Value) -> Result<Self, String> {
        Ok(Self {
            address: value["address"]
                .as_str()
                .ok_or("peers: address")?
                .to_owned(),
            connected: value["connected"].as_bool().ok_or("peers: connected")?,
            rtt_us: value["rtt_us"].as_u64(),
            sequence: number(value, "sequence")?,
            bytes_sent: number(value, "bytes_sent")?,
            bytes_received: number(value, "bytes_received")?,
            transfers: number(value, "transfers")?,
        })
    }
}

fn number(value: &Value, field: &str) -> Result<u64, String> {
    value[field]
        .as_u64()
        .ok_or_else(|| format!("{field}: not a number in {value}"))
}

fn array<'a>(value: &'a Value, field: &str) -> Result<&'a Vec<Value>, String> {
    value[field]
        .as_array()
        .ok_or_else(|| format!("{field}: not a list in {value}"))
}

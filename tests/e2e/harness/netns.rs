//! A network of namespaces: one for each peer, and one that holds the bridge between them, so that
//! deleting the namespaces leaves nothing behind.

use super::group::PORT;
use super::program::tool;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::Path;
use std::sync::Once;
use std::sync::atomic::{AtomicU32, Ordering};

/// All names begin with this, the id of the process that made them and the number of the network.
const PREFIX: &str = "tpe2e";

/// The network; deleted when dropped.
#[derive(Debug)]
pub struct Network {
    name: String,
    count: usize,
}

impl Network {
    /// Namespaces for `count` peers at 10.77.0.1 to N. An error says why this machine cannot.
    pub fn new(count: usize) -> Result<Self, String> {
        static SWEEP: Once = Once::new();
        static COUNT: AtomicU32 = AtomicU32::new(0);
        if !rustix::process::geteuid().is_root() {
            return Err("network namespaces need root".to_owned());
        }
        tool("ip -V")?;
        SWEEP.call_once(sweep);
        let number = COUNT.fetch_add(1, Ordering::Relaxed);
        // From here on `drop` cleans up, also after a failure half way.
        let network = Self {
            name: format!("{PREFIX}-{}-{number}", std::process::id()),
            count,
        };
        network.make()?;
        Ok(network)
    }

    fn make(&self) -> Result<(), String> {
        let bridge = self.bridge();
        tool(&format!("ip netns add {bridge}"))?;
        tool(&format!("ip -n {bridge} link add br0 type bridge"))?;
        tool(&format!("ip -n {bridge} link set br0 up"))?;
        for place in 0..self.count {
            let peer = self.namespace(place);
            let host = place + 1;
            tool(&format!("ip netns add {peer}"))?;
            tool(&format!(
                "ip -n {peer} link add eth0 type veth peer name port{host} netns {bridge}"
            ))?;
            tool(&format!("ip -n {bridge} link set port{host} master br0 up"))?;
            tool(&format!("ip -n {peer} addr add 10.77.0.{host}/24 dev eth0"))?;
            tool(&format!("ip -n {peer} link set lo up"))?;
            tool(&format!("ip -n {peer} link set eth0 up"))?;
        }
        Ok(())
    }

    /// Where each peer listens.
    pub fn addresses(&self) -> Vec<SocketAddr> {
        let host = |place: usize| u8::try_from(place + 1).expect("a small group");
        let address =
            |place| SocketAddr::new(IpAddr::V4(Ipv4Addr::new(10, 77, 0, host(place))), PORT);
        (0..self.count).map(address).collect()
    }

    /// Name of the namespace of the peer at `place`.
    pub fn namespace(&self, place: usize) -> String {
        format!("{}-{}", self.name, place + 1)
    }

    fn bridge(&self) -> String {
        format!("{}-br", self.name)
    }

    /// Drops this share of the datagrams that arrive at each peer, so in each direction.
    pub fn lose(&self, share: f64) -> Result<(), String> {
        for place in 0..self.count {
            let peer = self.namespace(place);
            // A veth hands over what segmentation offload joined as one packet: a loss would take
            // some forty datagrams at once. So each goes by itself.
            tool(&format!("ip -n {peer} link set eth0 gso_max_segs 1"))?;
            tool(&format!(
                "ip netns exec {peer} iptables -A INPUT -i eth0 -m statistic --mode random --probability {share} -j DROP"
            ))?;
        }
        Ok(())
    }

    /// Drops this share of the datagrams that arrive at one peer.
    pub fn lose_at(&self, place: usize, share: f64) -> Result<(), String> {
        let peer = self.namespace(place);
        tool(&format!(
            "ip netns exec {peer} iptables -A INPUT -i eth0 -m statistic --mode random --probability {share} -j DROP"
        ))
        .map(drop)
    }

    /// Limits what each peer sends, in Mbit/s.
    pub fn limit(&self, megabits: u32) -> Result<(), String> {
        for place in 0..self.count {
            let peer = self.namespace(place);
            tool(&format!(
                "tc -n {peer} qdisc add dev eth0 root tbf rate {megabits}mbit burst 128k latency 50ms"
            ))?;
        }
        Ok(())
    }

    /// Bytes that came in at a peer's interface since the start, headers included.
    pub fn received(&self, place: usize) -> u64 {
        let command = format!(
            "ip -n {} -json -statistics link show eth0",
            self.namespace(place)
        );
        let text = tool(&command).expect("statistics of the interface");
        let links: serde_json::Value = serde_json::from_str(&text).expect("JSON of ip");
        links[0]["stats64"]["rx"]["bytes"]
            .as_u64()
            .expect("bytes received")
    }
}

impl Drop for Network {
    fn drop(&mut self) {
        for place in 0..self.count {
            // A network that was made half way has not all of them.
            let _ = tool(&format!("ip netns del {}", self.namespace(place)));
        }
        let _ = tool(&format!("ip netns del {}", self.bridge()));
    }
}

/// Deletes the namespaces of runs that are no longer there, and what still runs in them.
fn sweep() {
    let names = tool("ip netns list").unwrap_or_default();
    for name in names
        .lines()
        .filter_map(|line| line.split_whitespace().next())
    {
        let mut parts = name.split('-');
        let ours = parts.next() == Some(PREFIX);
        let pid = parts.next().and_then(|pid| pid.parse::<u32>().ok());
        if ours && pid.is_some_and(|pid| !Path::new(&format!("/proc/{pid}")).exists()) {
            for pid in tool(&format!("ip netns pids {name}"))
                .unwrap_or_default()
                .split_whitespace()
            {
                let _ = tool(&format!("kill -9 {pid}"));
            }
            let _ = tool(&format!("ip netns del {name}"));
        }
    }
}

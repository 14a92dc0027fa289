//! The PROXY protocol, versions 1 and 2: who the client behind a load balancer really is.
//!
//! In: the first bytes of a connection from a peer of `proxy_networks`.  Out: the client's address, or why the header is bad.
//! Always: at most [`HEADER_BYTES_MAX`] bytes are looked at; anything but a whole, valid header closes the connection.
//! Source: the PROXY protocol specification, revision 2020-03-05.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// A version 1 line has at most 107 bytes; a version 2 header with the TLVs that proxies send stays below this.
pub const HEADER_BYTES_MAX: usize = 1024;

const V1_BYTES_MAX: usize = 107;
const V2_SIGNATURE: &[u8; 12] = b"\r\n\r\n\0\r\nQUIT\n";
const V2_FIXED: usize = 16;

/// What the bytes so far say.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Header {
    /// Not all of it has come.
    Incomplete,
    /// A header of `length` bytes; `client` is `None` for the proxy's own health checks (LOCAL, UNKNOWN).
    Complete {
        /// The client.
        client: Option<IpAddr>,
        /// Bytes of the header.
        length: usize,
    },
    /// Not a PROXY header.
    Bad,
}

/// Reads a header at the start of `bytes`.
pub fn read(bytes: &[u8]) -> Header {
    if bytes.is_empty() {
        return Header::Incomplete;
    }
    let header = if bytes.starts_with(V2_SIGNATURE) || V2_SIGNATURE.starts_with(bytes) {
        read_v2(bytes)
    } else {
        read_v1(bytes)
    };
    match header {
        Header::Incomplete if bytes.len() >= HEADER_BYTES_MAX => Header::Bad,
        other => other,
    }
}

fn read_v1(bytes: &[u8]) -> Header {
    let start = b"PROXY ";
    if !bytes.starts_with(start) && !start.starts_with(bytes) {
        return Header::Bad;
    }
    let Some(end) = bytes.windows(2).take(V1_BYTES_MAX).position(|w| w == b"\r\n") else {
        return if bytes.len() >= V1_BYTES_MAX { Header::Bad } else { Header::Incomplete };
    };
    let length = end + 2;
    let Ok(line) = std::str::from_utf8(&bytes[..end]) else { return Header::Bad };
    let words: Vec<&str> = line.split(' ').collect();
    let client = match words.as_slice() {
        ["PROXY", "UNKNOWN", ..] => None,
        ["PROXY", family @ ("TCP4" | "TCP6"), source, destination, source_port, destination_port] => {
            let (Ok(source), Ok(destination)) = (source.parse::<IpAddr>(), destination.parse::<IpAddr>()) else {
                return Header::Bad;
            };
            let right_family = |a: IpAddr| a.is_ipv4() == (*family == "TCP4");
            let ports = source_port.parse::<u16>().is_ok() && destination_port.parse::<u16>().is_ok();
            if !right_family(source) || !right_family(destination) || !ports {
                return Header::Bad;
            }
            Some(source)
        }
        _ => return Header::Bad,
    };
    Header::Complete { client, length }
}

fn read_v2(bytes: &[u8]) -> Header {
    if bytes.len() < V2_FIXED {
        return Header::Incomplete;
    }
    let length = V2_FIXED + usize::from(u16::from_be_bytes([bytes[14], bytes[15]]));
    if length > HEADER_BYTES_MAX {
        return Header::Bad;
    }
    if bytes.len() < length {
        return Header::Incomplete;
    }
    let addresses = &bytes[V2_FIXED..length];
    let client = match (bytes[12], bytes[13]) {
        // LOCAL: the proxy speaks for itself.
        (0x20, _) => None,
        (0x21, 0x11) if addresses.len() >= 12 => {
            Some(IpAddr::V4(Ipv4Addr::new(addresses[0], addresses[1], addresses[2], addresses[3])))
        }
        (0x21, 0x21) if addresses.len() >= 36 => {
            let mut octets = [0u8; 16];
            octets.copy_from_slice(&addresses[..16]);
            Some(IpAddr::V6(Ipv6Addr::from(octets)))
        }
        _ => return Header::Bad,
    };
    Header::Complete { client, length }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn complete(client: Option<&str>, length: usize) -> Header {
        Header::Complete { client: client.map(|c| c.parse().unwrap()), length }
    }

    fn v2(command: u8, family: u8, addresses: &[u8]) -> Vec<u8> {
        let mut out = V2_SIGNATURE.to_vec();
        out.extend([command, family]);
        out.extend((addresses.len() as u16).to_be_bytes());
        out.extend(addresses);
        out
    }

    #[test]
    fn headers_are_read_whole_or_refused() {
        let v4 = v2(0x21, 0x11, &[192, 0, 2, 1, 127, 0, 0, 1, 1, 2, 3, 4]);
        let mut v6 = vec![0u8; 36];
        v6[15] = 1;
        for (bytes, want) in [
            (b"PROXY TCP4 192.0.2.1 192.0.2.2 1000 25\r\nEHLO x\r\n".to_vec(), complete(Some("192.0.2.1"), 40)),
            (b"PROXY TCP6 2001:db8::1 ::1 1000 25\r\n".to_vec(), complete(Some("2001:db8::1"), 36)),
            (b"PROXY UNKNOWN\r\n".to_vec(), complete(None, 15)),
            (b"PROXY TCP4 192.0.2.1".to_vec(), Header::Incomplete),
            (b"PR".to_vec(), Header::Incomplete),
            (b"EHLO x\r\n".to_vec(), Header::Bad),
            (b"PROXY TCP4 ::1 ::1 1 2\r\n".to_vec(), Header::Bad),
            (b"PROXY TCP4 192.0.2.1 192.0.2.2 70000 25\r\n".to_vec(), Header::Bad),
            ([b"PROXY ".as_slice(), &[b'x'; 120]].concat(), Header::Bad),
            (v4.clone(), complete(Some("192.0.2.1"), 28)),
            (v4[..20].to_vec(), Header::Incomplete),
            (v2(0x21, 0x21, &v6), complete(Some("::1"), 52)),
            (v2(0x20, 0x00, &[]), complete(None, 16)),
            (v2(0x21, 0x11, &[1, 2]), Header::Bad),
            (v2(0x31, 0x11, &[0; 12]), Header::Bad),
            (v2(0x21, 0x11, &[0; 2000]), Header::Bad),
        ] {
            assert_eq!(read(&bytes), want, "{:?}", String::from_utf8_lossy(&bytes));
        }
    }

    proptest::proptest! {
        #[test]
        fn no_bytes_panic_and_none_wait_for_ever(bytes in proptest::collection::vec(proptest::prelude::any::<u8>(), 0..2048)) {
            let header = read(&bytes);
            proptest::prop_assert!(bytes.len() < HEADER_BYTES_MAX || header != Header::Incomplete);
            if let Header::Complete { length, .. } = header {
                proptest::prop_assert!(length <= bytes.len());
            }
        }
    }
}

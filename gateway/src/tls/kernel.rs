//! The kernel's TLS (kTLS): after the handshake the kernel encrypts what is written to the socket and
//! decrypts what is read from it, so that HTTP's pieces go to it as without TLS, by one `writev` out of
//! the frames that they lie in.
//!
//! Owns: the probe at start, handing the session's secrets over, and what the kernel leaves to us:
//! records that are no data (alerts, changes of keys), and saying goodbye (close_notify).
//! Changes of keys: those that a client asks for need Linux 6.13 (`TLS_RX` set anew), on older kernels
//! its connection ends with an alert. We ask for none; a connection that has sent so many records that
//! its key should not be used for longer ([`limits::KTLS_RECORDS_MAX`]) takes no new request.
//! Not here: the handshake (`handshake.rs`).

use std::fmt;
use std::io::{self, IoSlice};
use std::net::{Ipv4Addr, TcpListener, TcpStream as StdStream};
use std::os::fd::AsRawFd;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use ktls_core::{
    AeadKey, ConnectionTrafficSecrets, ContentType, ExtractedSecrets, ProtocolVersion,
    TlsCryptoInfoRx, TlsCryptoInfoTx, ffi, setup_tls_params, setup_ulp,
};
use rustls::kernel::KernelConnection;
use rustls::server::{ServerConnectionData, UnbufferedServerConnection};
use rustls::{CipherSuite, SupportedCipherSuite};
use tokio::io::{AsyncRead, AsyncWrite, Interest, ReadBuf};
use tokio::net::TcpStream;

use crate::limits;

/// The ciphers that kernels know, of both versions.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Cipher {
    Aes128,
    Aes256,
    Chacha20,
}

const CIPHERS: [Cipher; 3] = [Cipher::Aes128, Cipher::Aes256, Cipher::Chacha20];
const VERSIONS: [ProtocolVersion; 2] = [ProtocolVersion::TLSv1_3, ProtocolVersion::TLSv1_2];

impl Cipher {
    fn secrets(self) -> ConnectionTrafficSecrets {
        match self {
            Cipher::Aes128 => ConnectionTrafficSecrets::Aes128Gcm {
                key: AeadKey::new([0; 16]),
                iv: [0; 8],
                salt: [0; 4],
            },
            Cipher::Aes256 => ConnectionTrafficSecrets::Aes256Gcm {
                key: AeadKey::new([0; 32]),
                iv: [0; 8],
                salt: [0; 4],
            },
            Cipher::Chacha20 => ConnectionTrafficSecrets::Chacha20Poly1305 {
                key: AeadKey::new([0; 32]),
                iv: [0; 12],
                salt: [],
            },
        }
    }

    fn of(suite: CipherSuite) -> Option<Cipher> {
        use CipherSuite as Suite;
        Some(match suite {
            Suite::TLS13_AES_128_GCM_SHA256
            | Suite::TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256
            | Suite::TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256 => Cipher::Aes128,
            Suite::TLS13_AES_256_GCM_SHA384
            | Suite::TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384
            | Suite::TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384 => Cipher::Aes256,
            Suite::TLS13_CHACHA20_POLY1305_SHA256
            | Suite::TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256
            | Suite::TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256 => Cipher::Chacha20,
            _ => return None,
        })
    }
}

/// What the kernel can.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Kernel {
    can: Vec<(ProtocolVersion, Cipher)>,
}

impl Kernel {
    /// Asks the kernel, on a connection of our own, cipher by cipher.
    ///
    /// # Errors
    /// Why it cannot, for the operator.
    pub fn probe() -> Result<Kernel, String> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).map_err(|it| it.to_string())?;
        let mut can = Vec::new();
        for version in VERSIONS {
            for cipher in CIPHERS {
                if try_out(&listener, version, cipher)? {
                    can.push((version, cipher));
                }
            }
        }
        let kernel = Kernel { can };
        // Every client of TLS 1.3 has AES-128 (RFC 8446, 9.1), every browser and SDK of 1.2 too.
        match VERSIONS.iter().all(|version| kernel.can.contains(&(*version, Cipher::Aes128))) {
            true => Ok(kernel),
            false => Err("this kernel's TLS has no AES-128-GCM".to_owned()),
        }
    }

    /// Whether it can do that suite.
    pub fn can(&self, suite: &SupportedCipherSuite) -> bool {
        let version = match suite {
            SupportedCipherSuite::Tls12(_) => ProtocolVersion::TLSv1_2,
            SupportedCipherSuite::Tls13(_) => ProtocolVersion::TLSv1_3,
        };
        Cipher::of(suite.suite()).is_some_and(|cipher| self.can.contains(&(version, cipher)))
    }
}

/// Whether the kernel takes that cipher. The error says that it has no TLS at all.
fn try_out(
    listener: &TcpListener,
    version: ProtocolVersion,
    cipher: Cipher,
) -> Result<bool, String> {
    let address = listener.local_addr().map_err(|it| it.to_string())?;
    let socket = StdStream::connect(address).map_err(|it| it.to_string())?;
    let accepted = listener.accept().map_err(|it| it.to_string())?;
    setup_ulp(&socket).map_err(|error| {
        format!("this kernel has no TLS ({error}); load its module `tls`: modprobe tls")
    })?;
    let tx = TlsCryptoInfoTx::new(version, cipher.secrets(), 0).map_err(|it| it.to_string())?;
    let rx = TlsCryptoInfoRx::new(version, cipher.secrets(), 0).map_err(|it| it.to_string())?;
    let taken = setup_tls_params(&socket, &tx, &rx).is_ok();
    drop(accepted);
    Ok(taken)
}

/// Prepares a connected socket, before its handshake; without secrets it works as before.
///
/// # Errors
/// What the system said.
pub fn prepare(socket: &TcpStream) -> io::Result<()> {
    setup_ulp(socket).map_err(io::Error::from)
}

/// A socket whose TLS is the kernel's.
pub struct KernelStream {
    socket: TcpStream,
    context: ktls_core::Context<KernelConnection<ServerConnectionData>>,
    records: u64,
    said_goodbye: bool,
}

impl fmt::Debug for KernelStream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("KernelStream").field("socket", &self.socket).finish_non_exhaustive()
    }
}

/// Bytes of the largest record (RFC 8446, 5.1).
const RECORD_BYTES: u64 = 16 << 10;

/// close_notify, as a warning (RFC 8446, 6.1).
const CLOSE_NOTIFY: [u8; 2] = [1, 0];

impl KernelStream {
    /// Hands the secrets of a session over whose handshake is done, and of which nothing has been
    /// read or written since. The socket has been prepared.
    ///
    /// # Errors
    /// When rustls has no secrets to give, or the kernel refuses them: the session is lost then.
    pub fn new(socket: TcpStream, session: UnbufferedServerConnection) -> io::Result<KernelStream> {
        let version = session.protocol_version().map(ProtocolVersion::from);
        let version = version.ok_or_else(|| io::Error::other("no version was agreed"))?;
        let (secrets, session) =
            session.dangerous_into_kernel_connection().map_err(io::Error::other)?;
        let secrets = ExtractedSecrets::try_from(secrets).map_err(io::Error::other)?;
        let (tx, rx) = (secrets.tx, secrets.rx);
        let tx = TlsCryptoInfoTx::new(version, tx.1, tx.0).map_err(io::Error::other)?;
        let rx = TlsCryptoInfoRx::new(version, rx.1, rx.0).map_err(io::Error::other)?;
        setup_tls_params(&socket, &tx, &rx).map_err(io::Error::from)?;
        let context = ktls_core::Context::new(session, None);
        Ok(KernelStream { socket, context, records: 0, said_goodbye: false })
    }

    /// The socket itself.
    pub fn socket(&mut self) -> &mut TcpStream {
        &mut self.socket
    }

    /// Whether its key has been used for long enough.
    pub fn is_worn(&self) -> bool {
        self.records > limits::KTLS_RECORDS_MAX
    }

    fn count(&mut self, written: &Poll<io::Result<usize>>) {
        if let Poll::Ready(Ok(bytes)) = written {
            self.records += 1 + *bytes as u64 / RECORD_BYTES;
        }
    }
}

impl AsyncRead for KernelStream {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        loop {
            // Data that was taken together with a record that is none. The kernel does not do that.
            let unread = this.context.buffer().unread().len();
            if unread > 0 {
                let most = unread.min(buffer.remaining());
                this.context.buffer_mut().read(|bytes| {
                    buffer.put_slice(&bytes[..most]);
                    most
                });
                return Poll::Ready(Ok(()));
            }
            if this.context.state().is_read_closed() {
                return Poll::Ready(Ok(()));
            }
            match ready!(Pin::new(&mut this.socket).poll_read(cx, buffer)) {
                Ok(()) => return Poll::Ready(Ok(())),
                // So it says that the next record is no data, or none at all.
                Err(error) => this.context.handle_io_error(&this.socket, error)?,
            }
        }
    }
}

impl AsyncWrite for KernelStream {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let written = Pin::new(&mut this.socket).poll_write(cx, bytes);
        this.count(&written);
        written
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        pieces: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let written = Pin::new(&mut this.socket).poll_write_vectored(cx, pieces);
        this.count(&written);
        written
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        while !this.said_goodbye && !this.context.state().is_write_closed() {
            ready!(this.socket.poll_write_ready(cx))?;
            let descriptor = this.socket.as_raw_fd();
            let said = this.socket.try_io(Interest::WRITABLE, || {
                ffi::send_tls_control_message(
                    descriptor,
                    ContentType::Alert,
                    &mut CLOSE_NOTIFY.clone(),
                )
            });
            match said {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                // A client that has gone needs no goodbye.
                Ok(_) | Err(_) => this.said_goodbye = true,
            }
        }
        Pin::new(&mut this.socket).poll_shutdown(cx)
    }
}

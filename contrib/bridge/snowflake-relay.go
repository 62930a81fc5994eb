// The relay of a Snowflake bridge, made of Debian's packages of Snowflake's own libraries:
// golang-snowflake-dev has everything but the server. docs/own-snowflake.md tells how it is built
// and used.
//
// tor starts it (ServerTransportPlugin). Proxies connect to it by WebSocket, in the clear: TLS is
// for the web server in front of it. What they bring are packets of clients, each with the
// client's ID. KCP makes a reliable stream of them, whichever proxies they come by; smux marks its
// end, and tor gets what is in it.
//
// It logs nothing of clients or proxies, and tells tor no address.
package main

import (
	"bytes"
	"errors"
	"io"
	"log"
	"net"
	"net/http"
	"os"
	"time"

	pt "git.torproject.org/pluggable-transports/goptlib.git"
	"git.torproject.org/pluggable-transports/snowflake.git/common/encapsulation"
	"git.torproject.org/pluggable-transports/snowflake.git/common/turbotunnel"
	"github.com/gorilla/websocket"
	"github.com/xtaci/kcp-go"
	"github.com/xtaci/smux"
)

const (
	transport = "snowflake"
	maxProxies = 1024
	maxClients = 1024
	// Of those that have not opened a stream yet, which takes a second or two.
	maxNewClients = 1024
	// Clients' are smaller.
	maxPacket = 1500
	// A proxy passes messages of WebRTC on, which have up to 64 KiB.
	maxMessage = 128 << 10
	// For a proxy to begin, and for a message to get to it.
	proxyTimeout = 20 * time.Second
	// The time for which packets wait for a client that is between two proxies.
	clientMemory = time.Minute
	// The time for a client to open its stream.
	newClientTimeout = 30 * time.Second
	// A proxy that says nothing for that long, not even to a ping, has gone.
	proxySilence = 2 * time.Minute
	pingInterval = 30 * time.Second
	// In packets. The first is the same at the client's end; of the second, each client may have
	// as many wait here, of 1500 bytes each.
	sendWindow    = 65535
	receiveWindow = 512
	streamBuffer = 1 << 20
	sessionEnd   = 10 * time.Minute
)

// packets are those of all clients, whose IDs are their addresses.
type packets struct{ *turbotunnel.QueuePacketConn }

// WriteTo copies the packet: it is queued, and KCP uses its buffer again.
func (p packets) WriteTo(packet []byte, client net.Addr) (int, error) {
	return p.QueuePacketConn.WriteTo(append([]byte(nil), packet...), client)
}

func main() {
	log.SetFlags(0)
	tor, err := pt.ServerSetup(nil)
	if err != nil {
		log.Fatal(err)
	}
	all := packets{turbotunnel.NewQueuePacketConn(&net.IPAddr{}, clientMemory)}
	clients, err := kcp.ServeConn(nil, 0, 0, all)
	if err != nil {
		log.Fatal(err)
	}
	go serveClients(clients, &tor)
	for _, at := range tor.Bindaddrs {
		listener, err := net.ListenTCP("tcp", at.Addr)
		if at.MethodName != transport {
			err = errors.New("it is called " + transport)
		}
		if err != nil {
			pt.SmethodError(at.MethodName, err.Error())
			continue
		}
		go serveProxies(listener, all)
		pt.Smethod(at.MethodName, listener.Addr())
	}
	pt.SmethodsDone()
	// tor closes it when it ends.
	io.Copy(io.Discard, os.Stdin)
}

func serveProxies(listener net.Listener, all packets) {
	anyone := websocket.Upgrader{CheckOrigin: func(*http.Request) bool { return true }}
	free := make(chan struct{}, maxProxies)
	server := http.Server{
		ReadHeaderTimeout: proxyTimeout,
		IdleTimeout:       proxyTimeout,
		ErrorLog:          log.New(io.Discard, "", 0),
		Handler: http.HandlerFunc(func(response http.ResponseWriter, request *http.Request) {
			select {
			case free <- struct{}{}:
				defer func() { <-free }()
			default:
				http.Error(response, "too many proxies", http.StatusServiceUnavailable)
				return
			}
			if proxy, err := anyone.Upgrade(response, request, nil); err == nil {
				serveProxy(proxy, all)
			}
		}),
	}
	log.Fatal(server.Serve(listener))
}

// serveProxy passes the packets of the one client that a proxy has.
func serveProxy(socket *websocket.Conn, all packets) {
	defer socket.Close()
	socket.SetReadLimit(maxMessage)
	socket.SetReadDeadline(time.Now().Add(proxyTimeout))
	stream := &binary{socket: socket}
	var token, client [8]byte
	if _, err := io.ReadFull(stream, token[:]); err != nil || token != turbotunnel.Token {
		return
	}
	if _, err := io.ReadFull(stream, client[:]); err != nil {
		return
	}
	alive := func(string) error { return socket.SetReadDeadline(time.Now().Add(proxySilence)) }
	alive("")
	socket.SetPongHandler(alive)
	pings := time.NewTicker(pingInterval)
	defer pings.Stop()
	gone := make(chan struct{})
	go func() {
		defer close(gone)
		receive(stream, turbotunnel.ClientID(client), all)
	}()
	for {
		select {
		case <-gone:
			return
		case packet, isOpen := <-all.OutgoingQueue(turbotunnel.ClientID(client)):
			// It is closed when nothing was sent for a while.
			if !isOpen || send(socket, packet) != nil {
				return
			}
		case <-pings.C:
			if socket.WriteControl(websocket.PingMessage, nil, time.Now().Add(proxyTimeout)) != nil {
				return
			}
		}
	}
}

func receive(stream *binary, client turbotunnel.ClientID, all packets) {
	for {
		packet, err := encapsulation.ReadData(stream)
		if err != nil {
			return
		}
		stream.socket.SetReadDeadline(time.Now().Add(proxySilence))
		if len(packet) <= maxPacket {
			all.QueueIncoming(packet, client)
		}
	}
}

func send(socket *websocket.Conn, packet []byte) error {
	var message bytes.Buffer
	if _, err := encapsulation.WriteData(&message, packet); err != nil {
		return err
	}
	socket.SetWriteDeadline(time.Now().Add(proxyTimeout))
	return socket.WriteMessage(websocket.BinaryMessage, message.Bytes())
}

// binary is the content of a WebSocket's messages, one after the other.
type binary struct {
	socket  *websocket.Conn
	message io.Reader
}

func (b *binary) Read(buffer []byte) (int, error) {
	for {
		if b.message == nil {
			_, message, err := b.socket.NextReader()
			if err != nil {
				return 0, err
			}
			b.message = message
		}
		count, err := b.message.Read(buffer)
		if err != io.EOF {
			return count, err
		}
		b.message = nil
		if count > 0 {
			return count, nil
		}
	}
}

func serveClients(clients *kcp.Listener, tor *pt.ServerInfo) {
	places, newPlaces := make(chan struct{}, maxClients), make(chan struct{}, maxNewClients)
	for {
		session, err := clients.AcceptKCP()
		if err != nil {
			log.Fatal(err)
		}
		select {
		case newPlaces <- struct{}{}:
			go serveClient(session, tor, places, newPlaces)
		default:
			session.Close()
		}
	}
}

// serveClient connects a client's one stream with tor. Until it has one, the client has one of the
// places for new ones only.
func serveClient(session *kcp.UDPSession, tor *pt.ServerInfo, places, newPlaces chan struct{}) {
	defer session.Close()
	isNew := true
	leaveNew := func() {
		if isNew {
			isNew = false
			<-newPlaces
		}
	}
	defer leaveNew()
	session.SetStreamMode(true)
	session.SetWindowSize(sendWindow, receiveWindow)
	// No window of congestion, as at the client's end.
	session.SetNoDelay(0, 0, 0, 1)
	config := smux.DefaultConfig()
	config.Version = 2
	config.KeepAliveTimeout = sessionEnd
	config.MaxStreamBuffer = streamBuffer
	streams, err := smux.Server(session, config)
	if err != nil {
		return
	}
	// Of a client that opens very many streams, it is the session that can be closed, not each.
	defer streams.Close()
	streams.SetDeadline(time.Now().Add(newClientTimeout))
	stream, err := streams.AcceptStream()
	if err != nil {
		return
	}
	select {
	case places <- struct{}{}:
		defer func() { <-places }()
	default:
		return
	}
	leaveNew()
	bridge, err := pt.DialOr(tor, "", transport)
	if err != nil {
		log.Print("tor takes no connection: ", err)
		return
	}
	defer bridge.Close()
	go func() {
		defer bridge.Close()
		io.Copy(bridge, stream)
	}()
	io.Copy(stream, bridge)
}

# The typed options of services.snowflake-broker.settings: the commonly used keys, and
# those that the module itself reads. The descriptions shorten those in the example
# configuration.
{ lib }:

let
  inherit (lib) mkOption types;

  option =
    type: default: description:
    mkOption { inherit type default description; };
  optional = type: option (types.nullOr type) null;
  required = type: description: mkOption { inherit type description; };

  credential = types.strMatching "%d/[^/]+";
  # World-readable, so it may be in the store.
  publicFile = types.either credential types.path;
  # Never in the store, which is world-readable.
  secretFile = types.either credential types.externalPath;

  span = types.either types.ints.unsigned types.str;
  state = "/var/lib/snowflake-broker";
in
{
  listener = {
    addr =
      option types.str ":443"
        "Address and port to serve on: \":443\" (all addresses), \"127.0.0.1:8080\" or \"[::1]:8080\".";
    memory_high_water = optional types.ints.unsigned "Maximum number of bytes for connections, requests and responses together. Default: half of `memoryMax` or `memoryHigh`, whichever is lower.";
  };

  tls = {
    disable = option types.bool false "Serve plain HTTP, behind something that terminates TLS.";
    cert = optional publicFile "Certificate chain, PEM.";
    key = optional secretFile "Private key of the certificate, PEM.";
  };

  acme = {
    hostnames = option (types.listOf types.str) [ ] "Host names to order a certificate for.";
    email = optional types.str "Contact address for messages from the certificate authority.";
    cert_cache =
      option types.externalPath "${state}/acme"
        "Directory for the ACME account and the certificate.";
    directory =
      option types.str "https://acme-v02.api.letsencrypt.org/directory"
        "URL of the certificate authority's ACME directory.";
    tls_alpn =
      option types.bool true
        "Prove the host names by TLS-ALPN-01, on the broker's own listener.";
    http_addr =
      option types.str ":80"
        "Address and port for proving the host names by HTTP-01; empty turns it off.";
  };

  http = {
    forwarded_by =
      option types.str "x-forwarded-for"
        "Header in which a CDN or other reverse proxy names the sender of a request, or none if there is no reverse proxy.";
    trusted_hops =
      option types.ints.unsigned 1
        "Number of your reverse proxies in front of the broker.";
    trusted_proxies =
      option (types.listOf types.str) [ ]
        "Networks of your reverse proxies. If empty, any peer may claim to be one.";
    amp = option types.bool true "Accept clients through AMP caches.";
  };

  limits = {
    intermediaries = option (types.listOf types.str) [
      "google"
    ] "Networks of AMP caches; \"google\" stands for Google's.";
    unconfirmed_factor =
      option types.ints.unsigned 10
        "Multiple of the limits for a peer that claims to forward for others while `http.trusted_proxies` is empty.";
  };

  broker = {
    bridge_list_path = optional publicFile "File with the list of bridges; see also `bridges`.";
    allowed_relay_pattern =
      option types.str "^snowflake.torproject.net$"
        "The relays that a proxy must accept to be served: a host name suffix, or ^ and an exact host name.";
    default_relay_pattern = optional types.str "The pattern assumed for proxies that send none. Without it, they are served only if the Tor Project's bridge is the only one, since they connect to no other.";
  };

  bridges = {
    probe =
      option types.bool false
        "Connect to each bridge from time to time, and warn of those that cannot be reached.";
    act_on_probe =
      option types.bool false
        "Give an address that cannot be reached no clients, while another one of its bridge can be reached.";
  };

  pools = option (types.listOf (
    types.submodule {
      options = {
        name = required types.str "Name of the private pool in metrics and in the log.";
        token_file = required secretFile "File with the token, or with two, one a line.";
        bridge_list_path = optional publicFile "File with the bridges of the pool. Default: those of the broker.";
        allowed_relay_pattern = optional types.str "The relays that a proxy of the pool must accept. Default: those of the broker.";
        clients_per_minute = optional types.ints.unsigned "Maximum number of clients a minute, and at once. Default: 600.";
        max_parked_polls = optional types.ints.unsigned "Maximum number of parked polls. Default: 1000.";
        expires = optional types.str "End of the pool, such as 2030-01-31T00:00:00Z.";
        overflow = optional (types.enum [
          "none"
          "to-public"
        ]) "to-public lets its clients have everybody's proxies. Default: none.";
        spare = optional (types.enum [
          "none"
          "to-public"
        ]) "to-public lets everybody have its idle proxies. Default: none.";
        reserve = optional types.ints.unsigned "Proxies of each NAT class that spare leaves to the pool. Default: 4.";
      };
    }
  )) [ ] "Private pools, which clients and proxies reach by their URL.";

  poll_interval = {
    mode =
      option
        (types.enum [
          "fixed"
          "adaptive"
        ])
        "fixed"
        "fixed: each pool keeps its configured interval. adaptive: the broker adjusts it to demand.";
    open = option span "20s" "Poll interval for proxies that any client can reach.";
    moderate = option span "20s" "Poll interval for proxies behind a moderate NAT.";
    strict = option span "20s" "Poll interval for proxies behind a strict or unknown NAT.";
  };

  metrics = {
    metrics_log = optional types.externalPath "The metrics log, served at /metrics. Without it, /metrics returns 404.";
    impact_log = optional types.externalPath "The impact log: a line of JSON a day about what clients lived through. Without it, none is written.";
    state_directory =
      option types.externalPath "${state}/metrics"
        "Directory for the counts of the current block, so that they survive a restart.";
  };

  geoip = {
    disable = option types.bool false "Do not look up countries.";
    geoipdb = optional publicFile "IPv4 database, in Tor's or MaxMind's format; see also the option `geoip`.";
    geoip6db = optional publicFile "IPv6 database, in either format.";
    asndb = optional publicFile "Database of autonomous systems, in MaxMind's format.";
  };

  telemetry = {
    log_level = option types.str "info" "off, error, warn, info, debug, trace, or a filter.";
    log_format = option (types.enum [
      "text"
      "json"
    ]) "text" "text, or json (one object per line).";
  };

  admin = {
    listen = optional (types.either types.str (types.listOf types.str)) "A Unix socket (a path), an address and port, or a list of them; or off. Unless a Unix socket is given, the broker also listens on `/run/snowflake-broker/admin.sock`, for the group `snowflake-broker-operators`.";
    pools_file = optional types.externalPath "File in which the private pools are kept that the administration creates.";
    tokens = option (types.listOf (
      types.submodule {
        options = {
          name = required types.str "Name of the bearer in the log.";
          role = required (types.enum [
            "viewer"
            "operator"
          ]) "Viewers may only read; operators may make changes.";
          file = required secretFile "File with the token.";
        };
      }
    )) [ ] "Callers that authenticate with a bearer token.";
    tls = {
      cert = optional publicFile "Certificate chain, PEM.";
      key = optional secretFile "Private key of the certificate, PEM.";
      client_ca = optional publicFile "Authorities that must have issued the callers' certificates, PEM.";
      operators =
        option (types.listOf types.str) [ ]
          "DNS or URI names of client certificates that may make changes.";
      viewers =
        option (types.listOf types.str) [ ]
          "DNS or URI names of client certificates that may only read.";
    };
  };

  operator = {
    listen = optional (types.either types.str (types.listOf types.str)) "Address and port of the plain-HTTP endpoints for operators, a list of them, or off. Default: `127.0.0.1:9580`, unless another program listens there.";
    networks =
      option (types.listOf types.str) [ ]
        "Networks that may read every metric on the public port, too.";
  };

  status = {
    listen = optional (types.either types.str (types.listOf types.str)) "Address and port of the status page, a list of them, or off. Without it, the page has no address of its own.";
    public = optional types.bool "Show everyone a reduced page with rounded counts, at /status on the public address. Default: false.";
    notice = optional types.str "A notice for volunteers who run proxies.";
  };

  probe = {
    listen = optional (types.either types.str (types.listOf types.str)) "Address and port of the probe server, which tells proxies their NAT type, such as `:8443`, or a list of them. Without it, there is none.";
    addresses =
      option (types.listOf types.str) [ ]
        "One or two public IP addresses of this machine from which proxies are probed.";
    ports = optional types.str "UDP ports of probes, one for each at a time. Default: `61000-61255`.";
  };

  cluster = {
    servers =
      option (types.listOf types.str) [ ]
        "NATS servers, all `nats://HOST:PORT` or all `tls://HOST:PORT`. Without any, the broker serves on its own.";
    name = optional types.str "Name of the cluster, with which all its subjects begin. Default: `snowflake`.";
    node = optional types.str "Name of this node, different on each. Default: the first part of the host's name.";
    key_file = optional secretFile "Keys that all nodes have, as `openssl rand -base64 32` prints them.";
    reserve = optional types.ints.unsigned "Number of proxies per pool that are reserved for the clients of this node.";
    jetstream = optional types.bool "Share a bucket of NATS (JetStream): one metrics log, and changes by the administration for all nodes. Default: true.";
    replicas = optional types.ints.unsigned "Number of NATS servers that keep a copy of the bucket, 1 to 5. Default: 3.";
    credentials_file = optional secretFile "Credentials for NATS: a JWT and its seed.";
    nkey_file = optional secretFile "Seed of a user's nkey for NATS.";
    tls = {
      ca = optional publicFile "Authorities that must have issued the servers' certificates, PEM. Default: those of the system.";
      cert = optional publicFile "Certificate chain of this node, PEM, if the servers ask for one.";
      key = optional secretFile "Private key of the certificate, PEM.";
    };
  };

  federation = {
    listen = optional types.str "Address and port where peers connect to borrow proxies. Without it, nothing is lent.";
    discover = optional types.str "Host name and port for finding, by DNS, the peers that have no url.";
    peers = optional (types.listOf (
      types.submodule {
        options = {
          name = required types.str "DNS or URI name in the peer's certificate.";
          url = optional types.str "URL of the peer, `https://HOST:PORT`.";
          lend = optional types.bool "Lend proxies to the peer. Default: true.";
          borrow = optional types.bool "Borrow proxies from the peer. Default: true.";
          max_in_flight = optional types.ints.unsigned "Maximum number of offers waiting for an answer, in either direction.";
          max_per_second = optional types.ints.unsigned "Maximum number of offers per second that the peer may send.";
          private_pools = optional (types.listOf types.str) "Private pools that the peer has, too: names in `pools`.";
        };
      }
    )) "The peers: brokers of other operators.";
    tls = {
      cert = optional publicFile "Certificate chain, PEM.";
      key = optional secretFile "Private key of the certificate, PEM.";
      ca = optional publicFile "Authorities that must have issued the peers' certificates, PEM.";
    };
  };

  sqs = {
    queue_name = optional types.str "Name of the queue that clients write to.";
    region = optional types.str "AWS region of the queue.";
    profiles =
      option (types.listOf types.str) [ ]
        "AWS profiles to poll this queue with. An empty list means the default credentials.";
    queues = optional (types.listOf (
      types.submodule {
        options = {
          name = required types.str "Name of the queue.";
          region = optional types.str "AWS region of the queue.";
          profile = optional types.str "AWS profile to poll it with.";
          pool = optional types.str "Private pool whose clients write to it, a name in `pools`.";
        };
      }
    )) "More queues.";
    concurrency = optional types.ints.unsigned "Number of messages that are handled at once per queue.";
    sweep = optional types.bool "Delete reply queues that clients no longer use. Default: true.";
  };
}

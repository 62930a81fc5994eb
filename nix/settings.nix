# The typed options among the settings of services.snowflake-broker: what many people
# set, and what the module itself has to know of. The words of descriptions are those of
# the table in the README, in short.
{ lib }:

let
  inherit (lib) mkOption types;

  option =
    type: default: description:
    mkOption { inherit type default description; };
  optional = type: option (types.nullOr type) null;
  required = type: description: mkOption { inherit type description; };

  credential = types.strMatching "%d/[^/]+";
  # Everybody may read it: the store will do.
  publicFile = types.either credential types.path;
  # Never in the store, which everybody can read.
  secretFile = types.either credential types.externalPath;

  span = types.either types.ints.unsigned types.str;
  state = "/var/lib/snowflake-broker";
in
{
  listener = {
    addr =
      option types.str ":443"
        "Address and port: \":443\" (all addresses), \"127.0.0.1:8080\", \"[::1]:8080\".";
    memory_high_water = optional types.ints.unsigned "How many bytes connections, requests and responses may take in all. Not set, it is half of `memoryMax` or `memoryHigh`, the lower one.";
  };

  tls = {
    disable = option types.bool false "Serve in the clear, behind something that ends TLS.";
    cert = optional publicFile "The certificate chain, PEM.";
    key = optional secretFile "Its private key, PEM.";
  };

  acme = {
    hostnames = option (types.listOf types.str) [ ] "The host names to order a certificate for.";
    email = optional types.str "The address for messages from the certificate authority.";
    cert_cache =
      option types.externalPath "${state}/acme"
        "Directory that keeps the account and the certificate.";
    directory =
      option types.str "https://acme-v02.api.letsencrypt.org/directory"
        "The certificate authority: the URL of its ACME directory.";
    tls_alpn = option types.bool true "Prove the host names on the broker's own port.";
    http_addr =
      option types.str ":80"
        "Prove them by HTTP on this address and port; empty means not to.";
  };

  http = {
    forwarded_by =
      option types.str "x-forwarded-for"
        "Which header says whose requests a CDN or other reverse proxy forwards; none if there is no such proxy.";
    trusted_hops =
      option types.ints.unsigned 1
        "How many reverse proxies of yours are in front of the broker.";
    trusted_proxies =
      option (types.listOf types.str) [ ]
        "Their networks; with an empty list any peer may claim to be one.";
    amp = option types.bool true "Whether clients may come through AMP caches.";
  };

  limits = {
    intermediaries = option (types.listOf types.str) [
      "google"
    ] "The networks of AMP caches; \"google\" stands for Google's.";
    unconfirmed_factor =
      option types.ints.unsigned 10
        "So many times as much may come from a peer that says to forward for others, while `http.trusted_proxies` is empty.";
  };

  broker = {
    bridge_list_path = optional publicFile "File with the bridges, see also `bridges`.";
    allowed_relay_pattern =
      option types.str "^snowflake.torproject.net$"
        "The relays that every proxy has to accept: a host name suffix, or after ^ one exact name.";
    default_relay_pattern =
      option types.str ""
        "What a proxy is taken to accept that sends no pattern of its own; empty means every relay.";
  };

  poll_interval = {
    mode = option (types.enum [
      "fixed"
      "adaptive"
    ]) "fixed" "Whether the intervals stay as they are set, or are steered by how many clients come.";
    open = option span "20s" "When proxies poll again that everybody reaches.";
    moderate = option span "20s" "When those behind a moderate NAT do.";
    strict = option span "20s" "When those behind a strict or unknown NAT do.";
  };

  metrics = {
    metrics_log = optional types.externalPath "The metrics log that /metrics serves; without one that path is 404.";
    state_directory =
      option types.externalPath "${state}/metrics"
        "Directory for what a restart must not lose of the block that goes on.";
  };

  geoip = {
    disable = option types.bool false "Look up no country at all.";
    geoipdb = optional publicFile "The IPv4 database, Tor's or in MaxMind's format, see also `geoip`.";
    geoip6db = optional publicFile "The IPv6 database, likewise.";
  };

  telemetry = {
    log_level = option types.str "info" "off, error, warn, info, debug, trace, or a filter.";
    log_format = option (types.enum [
      "text"
      "json"
    ]) "text" "text, or json: one object a line.";
  };

  admin = {
    listen = optional (types.either types.str (types.listOf types.str)) "A Unix socket (a path), addresses and ports, or several; or off. Without a Unix socket there is `/run/snowflake-broker/admin.sock` besides, for the group `snowflake-broker-operators`.";
    tokens = option (types.listOf (
      types.submodule {
        options = {
          name = required types.str "What the log calls the bearer.";
          role = required (types.enum [
            "viewer"
            "operator"
          ]) "Viewers look, operators change things.";
          file = required secretFile "The file with the token.";
        };
      }
    )) [ ] "Who may call with a bearer token.";
    tls = {
      cert = optional publicFile "The certificate chain, PEM.";
      key = optional secretFile "Its private key, PEM.";
      client_ca = optional publicFile "The authorities that callers' certificates have to be from, PEM.";
      operators = option (types.listOf types.str) [ ] "Names of certificates that may change things.";
      viewers = option (types.listOf types.str) [ ] "Names of certificates that may look.";
    };
  };

  operator = {
    listen = optional (types.either types.str (types.listOf types.str)) "Where operators look by HTTP, in the clear: address and port, a list of them, or off. Not set, it is `127.0.0.1:9580` unless another program listens there.";
    networks =
      option (types.listOf types.str) [ ]
        "Networks that get every metric on the public port, too.";
  };

  federation = {
    listen = optional types.str "Address and port where other operators' brokers come to borrow; without it nobody does.";
    discover = optional types.str "A host name and port at which DNS knows the peers that have no url.";
    peers = optional (types.listOf (
      types.submodule {
        options = {
          name = required types.str "The DNS or URI name in its certificate.";
          url = optional types.str "Where it listens, `https://HOST:PORT`.";
          lend = optional types.bool "Whether it gets proxies of ours; true without it.";
          borrow = optional types.bool "Whether it is asked for some; true without it.";
          max_in_flight = optional types.ints.unsigned "How many offers may wait for an answer, in either direction.";
          max_per_second = optional types.ints.unsigned "How many offers it may send a second.";
        };
      }
    )) "The other brokers.";
    tls = {
      cert = optional publicFile "The certificate chain, PEM.";
      key = optional secretFile "Its private key, PEM.";
      ca = optional publicFile "The authorities that peers' certificates have to be from, PEM.";
    };
  };

  sqs = {
    queue_name = optional types.str "The queue that clients write to.";
    region = optional types.str "Its region.";
    profiles =
      option (types.listOf types.str) [ ]
        "The AWS profiles to poll it with; an empty list means the default credentials.";
    queues = optional (types.listOf (
      types.submodule {
        options = {
          name = required types.str "Its name.";
          region = optional types.str "Its region.";
          profile = optional types.str "The AWS profile to poll it with.";
        };
      }
    )) "More queues.";
    concurrency = optional types.ints.unsigned "How many messages of one queue are handled at once.";
    sweep = optional types.bool "Delete the reply queues that clients no longer use; true without it.";
  };
}

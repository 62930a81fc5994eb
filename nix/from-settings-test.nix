# Tests of from-settings.nix, without nixpkgs: each has a name and is true if it passes.
let
  from = import ./from-settings.nix;

  # The settings of most brokers.
  acme = {
    listener.addr = ":443";
    acme.hostnames = [ "broker.example" ];
    acme.http_addr = ":80";
  };
  clear = addr: {
    listener.addr = addr;
    tls.disable = true;
  };

  refused =
    arguments: map (it: it.message) (builtins.filter (it: !it.assertion) (from arguments).assertions);
  accepts = arguments: refused arguments == [ ];
  # True if exactly one assertion fails, with a message that begins like this.
  refuses =
    beginning: arguments:
    let
      messages = refused arguments;
      isIt = builtins.substring 0 (builtins.stringLength beginning) (builtins.head messages) == beginning;
    in
    builtins.length messages == 1 && isIt;
  warns = arguments: (from arguments).warnings != [ ];
  needsRestart = settings: (from { inherit settings; }).needsRestart;
  isReloaded = one: other: needsRestart one == needsRestart other;

  prober = listen: {
    inherit listen;
    addresses = [ "198.51.100.7" ];
  };
  admin =
    more:
    clear ":80"
    // {
      admin = {
        listen = "[::]:9443";
      }
      // more;
    };
  federation =
    tls:
    clear ":80"
    // {
      federation = {
        listen = ":7443";
        inherit tls;
      };
    };
in
{
  "a usual broker is accepted without a warning" =
    accepts {
      settings = acme;
      openFirewall = true;
    }
    && !warns {
      settings = acme;
      openFirewall = true;
    };
  "null equals a missing key" = accepts {
    settings = acme // {
      tls = {
        cert = null;
        key = null;
        disable = false;
      };
      admin.listen = null;
      federation.listen = null;
    };
  };

  "a probe server has an address" =
    refuses "settings.probe.listen" {
      settings = acme // {
        probe.listen = ":8443";
      };
    }
    && accepts {
      settings = acme // {
        probe = prober ":8443";
      };
    }
    && accepts {
      settings = acme // {
        probe.listen = "off";
      };
    };
  "a probe server has a certificate" =
    let
      probing =
        settings: listen:
        warns {
          settings = settings // {
            probe = prober listen;
          };
        };
    in
    probing (clear "127.0.0.1:80") ":8443"
    && !probing (clear "127.0.0.1:80") "127.0.0.1:8443"
    && !probing acme ":8443";
  "the status page is for this machine" =
    let
      shown =
        listen:
        warns {
          settings = acme // {
            status = { inherit listen; };
          };
        };
    in
    shown ":9581"
    && shown [
      "127.0.0.1:9581"
      "[2001:db8::7]:9581"
    ]
    && !shown "127.0.0.1:9581"
    && !shown "off";
  "the tokens of private pools are credentials" =
    let
      pool = credentials: {
        settings = acme // {
          pools = [
            {
              name = "family";
              token_file = "%d/family-token";
            }
          ];
        };
        inherit credentials;
      };
      token = (builtins.head (from (pool [ "family-token" ])).rendered.pools).token_file;
    in
    refuses "credentials: no entry is named family-token" (pool [ ])
    && accepts (pool [ "family-token" ])
    && token == "/run/credentials/snowflake-broker.service/family-token";
  "no listener" = refuses "settings.listener.addr" { settings = clear ""; };
  "no port" = refuses "settings.listener.addr" { settings = clear "127.0.0.1"; };
  "systemd does not resolve names" =
    refuses "settings.listener.addr" { settings = clear "localhost:80"; }
    && accepts {
      settings = clear "localhost:80";
      socketActivation = false;
    };
  "no certificate" =
    refuses "settings: no certificate" { settings.listener.addr = ":443"; }
    && accepts {
      settings.listener.addr = ":443";
      hasEnvironmentFile = true;
    };
  "a certificate without its key" = refuses "settings.tls" {
    settings = {
      listener.addr = ":443";
      tls.cert = "/c";
    };
  };
  "ACME and a certificate" = refuses "settings.acme.hostnames" {
    settings = acme // {
      tls.cert = "/c";
      tls.key = "/k";
    };
  };
  "ACME without names" = refuses "settings.acme.email" {
    settings = clear ":80" // {
      acme.email = "a@b.example";
    };
  };
  "an administration open to others needs credentials" =
    refuses "settings.admin.listen" { settings = admin { }; }
    && accepts { settings = admin { tokens = [ { name = "a"; } ]; }; }
    && accepts { settings = admin { tls.client_ca = "/ca"; }; }
    && accepts { settings = admin { listen = "127.0.0.1:9443"; }; }
    && accepts { settings = admin { listen = "/run/a.sock"; }; }
    && refuses "settings.admin.listen" {
      settings = admin {
        listen = [
          "127.0.0.1:9443"
          "192.0.2.1:9443"
        ];
      };
    };
  "tokens over plain HTTP/2 result in a warning" =
    warns { settings = admin { tokens = [ { name = "a"; } ]; }; }
    && !warns {
      settings = admin {
        tls.client_ca = "/ca";
        tls.cert = "/c";
      };
    };
  "a federation open to others needs certificates" =
    refuses "settings.federation.listen" { settings = federation { ca = "/ca"; }; }
    && accepts {
      settings = federation {
        ca = "/ca";
        cert = "/c";
        key = "/k";
      };
    };
  "an open firewall without TLS results in a warning" =
    let
      isDoubtful =
        settings:
        warns {
          inherit settings;
          openFirewall = true;
        };
    in
    isDoubtful (clear ":80")
    && !isDoubtful (clear "127.0.0.1:80")
    && !warns { settings = clear ":80"; };

  "references to credentials are resolved, and unknown ones refused" =
    let
      settings = clear ":80" // {
        admin.tokens = [ { file = "%d/token"; } ];
      };
      plan = from {
        inherit settings;
        credentials = [ "token" ];
      };
    in
    refuses "credentials: no entry is named token" { inherit settings; }
    && accepts {
      inherit settings;
      credentials = [ "token" ];
    }
    && plan.rendered.admin.tokens == [ { file = "/run/credentials/snowflake-broker.service/token"; } ];
  "credentials can be used in every kind of configuration" =
    let
      arguments = {
        settings = clear ":80";
        extraConfigFiles = [
          "%d/more.toml"
          "/etc/more.toml"
        ];
        environment.SNOWFLAKE_BROKER_OTEL__CA_FILE = "%d/ca";
        extraArgs = [
          "--metrics-log=%d/log"
          "%d/other"
        ];
      };
      plan = from arguments;
      folder = "/run/credentials/snowflake-broker.service";
    in
    refuses "credentials: no entry is named more.toml, ca, log, other" arguments
    &&
      plan.extraConfigFiles == [
        "${folder}/more.toml"
        "/etc/more.toml"
      ]
    &&
      plan.extraArgs == [
        "--metrics-log=${folder}/log"
        "${folder}/other"
      ];
  "names of credentials are valid file names" =
    let
      named =
        name:
        refuses "credentials: letters" {
          settings = clear ":80";
          credentials = [ name ];
        };
    in
    named "a/b" && named "a:b" && named ".." && named "" && !named "a-b_c.pem";
  "the relay pattern must cover the bridges" =
    let
      bridge = webSocketAddress: {
        inherit webSocketAddress;
        displayName = "a";
        fingerprint = webSocketAddress;
      };
      covers =
        pattern: address:
        let
          arguments = {
            settings = clear ":80" // {
              broker.allowed_relay_pattern = pattern;
            };
            bridges = [ (bridge address) ];
          };
        in
        if accepts arguments then true else !refuses "settings.broker.allowed_relay_pattern" arguments;
    in
    covers "example.org$" "wss://bridge.example.org/"
    && covers "^bridge.example.org$" "wss://bridge.example.org:7901/path"
    && covers "" "ws://bridge.example.org"
    && covers "::1]" "ws://[2001:db8::1]:80/"
    && !covers "^example.org$" "wss://bridge.example.org/"
    && !covers "example.org$" "wss://bridge.example.com/?example.org"
    && !covers "example.org" "wss://example.org@bridge.example.com/";
  "fingerprints of bridges are unique" = refuses "bridges: several have the fingerprint A" {
    settings = clear ":80" // {
      broker.allowed_relay_pattern = "";
    };
    bridges = builtins.genList (_: {
      webSocketAddress = "wss://a.example/";
      fingerprint = "A";
    }) 2;
  };
  "a bridge with a weight may have several addresses" = accepts {
    settings = clear ":80" // {
      broker.allowed_relay_pattern = "";
    };
    bridges = [
      {
        webSocketAddress = "wss://a.example/";
        fingerprint = "A";
        weight = null;
      }
      {
        webSocketAddress = "wss://b.example/";
        fingerprint = "A";
        weight = 0.5;
      }
    ];
  };
  "two sockets cannot share a port" =
    let
      clash =
        settings: refuses "settings: one port for two sockets" { settings = clear ":80" // settings; };
    in
    clash { admin.listen = "127.0.0.1:80"; }
    && clash { operator.listen = "127.0.0.1:9580, [::1]:80"; }
    && clash { probe = prober ":80"; }
    && clash {
      admin.listen = [
        "127.0.0.1:9443"
        "127.0.0.1:9443"
      ];
    }
    && !clash { admin.listen = "127.0.0.1:9443"; }
    && !clash {
      admin.listen = "127.0.0.1:9443";
      operator.listen = "[::1]:9443";
    };
  "a TLS key from a credential results in a warning" = warns {
    settings = {
      listener.addr = ":443";
      tls.cert = "/c";
      tls.key = "%d/key";
    };
    credentials = [ "key" ];
  };

  "unset keys are not rendered" =
    (from {
      settings = {
        tls.cert = null;
        a.b.c = null;
        sqs.profiles = [ ];
      };
    }).rendered == {
      sqs.profiles = [ ];
    };

  "unset keys in elements of lists are not rendered" =
    (from {
      settings.federation.peers = [
        {
          name = "two.example";
          url = null;
        }
      ];
    }).rendered.federation.peers == [ { name = "two.example"; } ];

  "systemd opens the sockets that it can" =
    let
      sockets = settings: (from { inherit settings; }).sockets;
      admin = [ "/run/snowflake-broker/admin.sock" ];
    in
    sockets acme == {
      http = [ "443" ];
      acme = [ "80" ];
      inherit admin;
    }
    &&
      sockets (clear "[::1]:0443") == {
        http = [ "[::1]:443" ];
        inherit admin;
      }
    &&
      sockets (
        acme
        // {
          acme = acme.acme // {
            http_addr = "";
          };
          admin.listen = "off";
        }
      ) == {
        http = [ "443" ];
      }
    &&
      sockets (
        clear ":80"
        // {
          federation.listen = ":7443";
          admin.listen = [
            "unix:/run/other.sock"
            "127.0.0.1:9443"
          ];
        }
      ) == {
        http = [ "80" ];
        federation = [ "7443" ];
        admin = [
          "/run/other.sock"
          "127.0.0.1:9443"
        ];
      }
    # systemd does not resolve names: the broker opens this one.
    &&
      sockets (
        clear ":80"
        // {
          federation.listen = "one.example:7443";
          admin.listen = "localhost:9443";
        }
      ) == {
        http = [ "80" ];
        inherit admin;
      }
    &&
      (from {
        settings = clear ":80";
        socketActivation = false;
      }).sockets == { };
  "the broker makes sockets only in its own directory" =
    let
      own = listen: {
        settings = clear ":80" // {
          admin.listen = listen;
        };
        socketActivation = false;
      };
    in
    refuses "settings.admin.listen: the service may make" (own "/run/a.sock")
    && accepts (own "/run/snowflake-broker/a.sock")
    && accepts (own null);
  "the broker may write to configured paths elsewhere" =
    let
      writes = settings: (from { settings = clear ":80" // settings; }).writes;
    in
    writes {
      metrics.metrics_log = "/srv/metrics/metrics.log";
      metrics.impact_log = "/srv/impact/impact.jsonl";
      metrics.ip_count_prefix = "/srv/metrics/ips";
      metrics.state_directory = "/srv/state";
      broker.bridge_list_path = "/srv/bridges/list.jsonl";
      admin.pools_file = "/srv/pools/pools.json";
    } == [
      "/srv/state"
      "/srv/metrics"
      "/srv/impact"
      "/srv/bridges"
      "/srv/pools"
    ]
    &&
      writes {
        metrics.metrics_log = "/var/lib/snowflake-broker/metrics.log";
        metrics.state_directory = "/var/lib/snowflake-broker/metrics";
        broker.bridge_list_path = "/etc/snowflake-broker/bridges.jsonl";
        acme.cert_cache = "/srv/unused";
      } == [ ];

  "only public ports are opened in the firewall" =
    let
      ports = settings: (from { inherit settings; }).publicPorts;
    in
    ports acme == [
      443
      80
    ]
    && ports (clear "127.0.0.1:80") == [ ]
    &&
      ports (admin { } // federation { }) == [
        80
        7443
      ]
    && ports (acme // { probe = prober ":8443"; }) == ports acme ++ [ 8443 ]
    && ports (acme // { operator.listen = ":9580"; }) == ports acme
    && ports (acme // { status.listen = ":9581"; }) == ports acme;
  "the capability is only for ports that the broker itself binds" =
    let
      isPrivileged =
        socketActivation: settings: (from { inherit settings socketActivation; }).privilegedPort;
    in
    !isPrivileged true acme
    && isPrivileged false acme
    && !isPrivileged false (clear ":8080")
    && isPrivileged false (admin {
      listen = "127.0.0.1:1023";
    })
    && isPrivileged true (admin {
      listen = "localhost:1023";
    })
    && !isPrivileged true (admin {
      listen = "127.0.0.1:1023";
    })
    && isPrivileged true (acme // { operator.listen = "127.0.0.1:9580, 127.0.0.1:81"; })
    && isPrivileged true (acme // { operator.listen = [ "127.0.0.1:81" ]; })
    && !isPrivileged true (acme // { operator.listen = "off"; })
    && isPrivileged true (acme // { probe = prober ":81"; })
    && !isPrivileged true (acme // { probe = prober ":8443"; });

  "settings that a reload applies need no restart" =
    isReloaded acme (acme // { matching.client_timeout = "4s"; })
    && isReloaded acme (acme // { admin.tokens = [ ]; })
    && isReloaded acme (acme // { operator.networks = [ "192.0.2.0/24" ]; })
    && isReloaded acme (acme // { pools = [ { name = "family"; } ]; })
    && isReloaded acme (
      acme
      // {
        listener = acme.listener // {
          idle_timeout = 5;
        };
      }
    )
    && isReloaded acme (acme // { telemetry.log_level = "debug"; });
  "settings that a reload does not apply need a restart" =
    !isReloaded acme (acme // { listener.addr = ":444"; })
    && !isReloaded acme (acme // { telemetry.log_format = "json"; })
    && !isReloaded acme (acme // { http.trusted_hops = 0; })
    && !isReloaded acme (acme // { operator.listen = "off"; })
    && !isReloaded acme (acme // { unknown.key = 1; })
    && !isReloaded (clear ":80") (clear ":80" // { tls.disable = false; });
  "other certificate files need no restart, but another source does" =
    let
      file =
        cert:
        clear ":80"
        // {
          tls = {
            inherit cert;
            disable = true;
          };
        };
    in
    isReloaded (file "/a") (file "/b") && !isReloaded (file null) (file "/b");
}

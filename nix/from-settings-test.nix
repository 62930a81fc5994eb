# Tests of from-settings.nix, which need no nixpkgs: what each is about, and whether it
# holds.
let
  from = import ./from-settings.nix;

  # What most brokers have.
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
  # Refused for one reason, whose message begins like this.
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
  "null is as good as left out" = accepts {
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

  "no listener" = refuses "settings.listener.addr" { settings = clear ""; };
  "no port" = refuses "settings.listener.addr" { settings = clear "127.0.0.1"; };
  "systemd looks up no names" =
    refuses "settings.listener.addr" { settings = clear "localhost:80"; }
    && accepts {
      settings = clear "localhost:80";
      socketActivation = false;
    };
  "no certificate" =
    refuses "settings: no certificate" { settings.listener.addr = ":443"; }
    && accepts {
      settings.listener.addr = ":443";
      hasMoreLayers = true;
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
  "everybody may not steer the broker" =
    refuses "settings.admin.listen" { settings = admin { }; }
    && accepts { settings = admin { tokens = [ { name = "a"; } ]; }; }
    && accepts { settings = admin { tls.client_ca = "/ca"; }; }
    && accepts { settings = admin { listen = "127.0.0.1:9443"; }; }
    && accepts { settings = admin { listen = "/run/a.sock"; }; };
  "tokens are not for everybody to read" =
    warns { settings = admin { tokens = [ { name = "a"; } ]; }; }
    && !warns {
      settings = admin {
        tls.client_ca = "/ca";
        tls.cert = "/c";
      };
    };
  "peers have certificates" =
    refuses "settings.federation.listen" { settings = federation { ca = "/ca"; }; }
    && accepts {
      settings = federation {
        ca = "/ca";
        cert = "/c";
        key = "/k";
      };
    };
  "an open firewall without TLS is doubtful" =
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

  "credentials are known and found" =
    let
      settings = clear ":80" // {
        admin.tokens = [ { file = "%d/token"; } ];
      };
      plan = from {
        inherit settings;
        credentials = [ "token" ];
      };
    in
    refuses "settings: no such credential: token" { inherit settings; }
    && accepts {
      inherit settings;
      credentials = [ "token" ];
    }
    && plan.rendered.admin.tokens == [ { file = "/run/credentials/snowflake-broker.service/token"; } ];
  "a key from a credential is not renewed" = warns {
    settings = {
      listener.addr = ":443";
      tls.cert = "/c";
      tls.key = "%d/key";
    };
    credentials = [ "key" ];
  };

  "what is not set is not rendered" =
    (from {
      settings = {
        tls.cert = null;
        a.b.c = null;
        sqs.profiles = [ ];
      };
    }).rendered == {
      sqs.profiles = [ ];
    };

  "nor is what is not set of a list's element" =
    (from {
      settings.federation.peers = [
        {
          name = "two.example";
          url = null;
        }
      ];
    }).rendered.federation.peers == [ { name = "two.example"; } ];

  "sockets" =
    let
      streams =
        settings:
        let
          plan = from { inherit settings; };
        in
        [
          plan.httpStream
          plan.acmeStream
        ];
    in
    streams acme == [
      "443"
      "80"
    ]
    &&
      streams (clear "[::1]:0443") == [
        "[::1]:443"
        null
      ]
    &&
      streams (
        acme
        // {
          acme = acme.acme // {
            http_addr = "";
          };
        }
      ) == [
        "443"
        null
      ];
  "only public ports are opened, and never the administration's or the operators'" =
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
    && ports (acme // { operator.listen = ":9580"; }) == ports acme;
  "the capability is for ports that the broker binds itself" =
    let
      isPrivileged =
        socketActivation: settings: (from { inherit settings socketActivation; }).privilegedPort;
    in
    !isPrivileged true acme
    && isPrivileged false acme
    && !isPrivileged false (clear ":8080")
    && isPrivileged true (admin {
      listen = "127.0.0.1:1023";
    })
    && isPrivileged true (acme // { operator.listen = "127.0.0.1:9580, 127.0.0.1:81"; })
    && isPrivileged true (acme // { operator.listen = [ "127.0.0.1:81" ]; })
    && !isPrivileged true (acme // { operator.listen = "off"; });

  "what a reload takes over needs no restart" =
    isReloaded acme (acme // { matching.client_timeout = "4s"; })
    && isReloaded acme (acme // { admin.tokens = [ ]; })
    && isReloaded acme (acme // { operator.networks = [ "192.0.2.0/24" ]; })
    && isReloaded acme (
      acme
      // {
        listener = acme.listener // {
          idle_timeout = 5;
        };
      }
    )
    && isReloaded acme (acme // { telemetry.log_level = "debug"; });
  "what it does not take over needs one" =
    !isReloaded acme (acme // { listener.addr = ":444"; })
    && !isReloaded acme (acme // { telemetry.log_format = "json"; })
    && !isReloaded acme (acme // { http.trusted_hops = 0; })
    && !isReloaded acme (acme // { operator.listen = "off"; })
    && !isReloaded acme (acme // { unknown.key = 1; })
    && !isReloaded (clear ":80") (clear ":80" // { tls.disable = false; });
  "other files are read, a certificate from elsewhere needs a restart" =
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

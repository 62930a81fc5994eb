# Tests of the module with the real types and units of nixpkgs. Evaluating this file runs
# them; the derivation only records the number of tests.
{
  lib,
  runCommand,
  stdenv,
  nixosSystem,
  # The module, with a package.
  module,
}:

let
  evaluate =
    config:
    (nixosSystem {
      modules = [
        module
        {
          nixpkgs.hostPlatform = stdenv.hostPlatform.system;
          boot.isContainer = true;
          system.stateVersion = lib.trivial.release;
        }
        config
      ];
    }).config;
  broker =
    options:
    evaluate {
      services.snowflake-broker = {
        enable = true;
      }
      // options;
    };
  withSettings = settings: broker { inherit settings; };

  service = config: config.systemd.services.snowflake-broker;
  unit = config: config.systemd.units."snowflake-broker.service".text;
  failures = config: map (it: it.message) (lib.filter (it: !it.assertion) config.assertions);
  ours = messages: lib.filter (lib.hasInfix "snowflake-broker") messages;
  # True if the types refuse a value.
  isRefused = options: !(builtins.tryEval (builtins.deepSeq (unit (broker options)) true)).success;
  isSettingRefused =
    settings:
    !(builtins.tryEval (
      builtins.deepSeq (withSettings settings).services.snowflake-broker.settings true
    )).success;

  clear = {
    listener.addr = ":8080";
    tls.disable = true;
  };
  example = evaluate ./example.nix;
  withToken = evaluate {
    imports = [
      ./example.nix
      ./example-admin.nix
    ];
  };

  ownSnowflake = evaluate ./example-own-snowflake.nix;

  tests = {
    "the example is accepted" = failures example == [ ] && ours example.warnings == [ ];
    "the example opens the public ports and not the administration's" =
      example.networking.firewall.allowedTCPPorts == [
        80
        443
      ];
    "a Snowflake of one's own is accepted, with tor and Caddy" =
      failures ownSnowflake == [ ]
      && ours ownSnowflake.warnings == [ ]
      &&
        lib.sort lib.lessThan (lib.unique ownSnowflake.networking.firewall.allowedTCPPorts) == [
          80
          443
          8443
        ]
      && ownSnowflake.services.tor.settings.BridgeRelay
      && ownSnowflake.services.caddy.virtualHosts ? "snowflake.example.org";
    "systemd opens the sockets" =
      example.systemd.sockets.snowflake-broker.listenStreams == [ "443" ]
      && example.systemd.sockets.snowflake-broker-acme.listenStreams == [ "80" ]
      &&
        example.systemd.sockets.snowflake-broker-admin.listenStreams == [
          "/run/snowflake-broker/admin.sock"
        ];
    "sockets with new addresses are restarted" =
      let
        trigger = config: config.systemd.services.snowflake-broker-sockets.restartTriggers;
        moved = withSettings (clear // { listener.addr = ":8081"; });
        socket = example.systemd.sockets.snowflake-broker;
      in
      trigger (withSettings clear) != trigger moved
      && !moved.systemd.services.snowflake-broker-sockets.stopIfChanged
      && socket.wants == [ "snowflake-broker-sockets.service" ]
      && socket.partOf == [ "snowflake-broker-sockets.service" ];
    "secrets are credentials" =
      failures withToken == [ ]
      &&
        (service withToken).serviceConfig.LoadCredential == [ "watcher-token:/run/secrets/watcher-token" ]
      && (lib.head withToken.services.snowflake-broker.settings.admin.tokens).file == "%d/watcher-token"
      &&
        withToken.systemd.sockets.snowflake-broker-admin.listenStreams == [
          "/run/snowflake-broker/admin.sock"
          "127.0.0.1:9443"
        ];
    "the example needs no secret" =
      !((service example).serviceConfig ? LoadCredential)
      || (service example).serviceConfig.LoadCredential == [ ];
    "a package from an overlay is used" =
      let
        overlaid = evaluate {
          nixpkgs.overlays = [ (final: _: { snowflake-broker = final.hello; }) ];
          services.snowflake-broker = {
            enable = true;
            settings = clear;
            checkConfig = false;
          };
        };
      in
      lib.hasInfix "/bin/hello" (unit overlaid);
    "a cross-compiled system gets a program for its platform" =
      let
        foreign = evaluate {
          nixpkgs.buildPlatform = "x86_64-linux";
          nixpkgs.hostPlatform = lib.mkForce "aarch64-linux";
          services.snowflake-broker = {
            enable = true;
            settings = clear;
          };
        };
      in
      foreign.services.snowflake-broker.package.stdenv.hostPlatform.system == "aarch64-linux"
      && foreign.services.snowflake-broker.package.stdenv.buildPlatform.system == "x86_64-linux";
    "the unit equals the one in contrib/systemd" =
      let
        # Lines that NixOS adds or changes.
        isOwn =
          line:
          lib.any (start: lib.hasPrefix start line) [
            "ExecStart="
            "Environment="
            "LoadCredential="
            "After="
            "Wants="
            "X-"
            "#"
          ];
        lines =
          text:
          lib.sort lib.lessThan (lib.filter (line: line != "" && !isOwn line) (lib.splitString "\n" text));
        words = lib.replaceStrings [ "=yes\n" "=no\n" ] [ "=true\n" "=false\n" ];
        contrib = (import ./contrib.nix).files."snowflake-broker.service";
      in
      lines (unit example) == lines (words contrib);
    "the path of the configuration stays the same when its content changes" =
      lib.hasInfix ''"--config" "/etc/snowflake-broker/config.toml"'' (unit example)
      && example.environment.etc ? "snowflake-broker/config.toml"
      && example.environment.etc ? "snowflake-broker/bridges.jsonl"
      && (service example).reloadTriggers != [ ]
      && !(service example).stopIfChanged;
    "a reloadable setting does not change the restart triggers" =
      let
        triggers = settings: (service (withSettings settings)).restartTriggers;
        with' = more: lib.recursiveUpdate clear more;
      in
      triggers clear == triggers (with' {
        matching.client_timeout = "4s";
      })
      &&
        triggers clear != triggers (with' {
          http.trusted_hops = 0;
        });

    "without socket activation the broker has the capability" =
      let
        own = broker {
          socketActivation = false;
          settings = clear // {
            listener.addr = ":443";
          };
        };
      in
      lib.hasInfix "AmbientCapabilities=CAP_NET_BIND_SERVICE" (unit own)
      && lib.hasInfix "PrivateUsers=false" (unit own)
      && !(own.systemd.sockets ? snowflake-broker);
    "the memory limits can be changed" =
      let
        text = unit (broker {
          settings = clear;
          memoryHigh = "1G";
          memoryMax = "1200M";
        });
      in
      lib.hasInfix "MemoryHigh=1G\n" text && lib.hasInfix "MemoryMax=1200M\n" text;
    "other files, variables and flags" =
      let
        config = broker {
          settings = clear;
          extraConfigFiles = [
            "/run/secrets/more.toml"
            "%d/more.toml"
          ];
          credentials."more.toml" = "/run/secrets/most.toml";
          credentials.key = "/run/secrets/key";
          environment.SNOWFLAKE_BROKER_TLS__KEY = "%d/key";
          environmentFile = "/run/secrets/env";
          extraArgs = [ "--unsafe-logging" ];
        };
      in
      lib.all (text: lib.hasInfix text (unit config)) [
        ''"/run/secrets/more.toml" "--config" "/run/credentials/snowflake-broker.service/more.toml" "--unsafe-logging"''
        "SNOWFLAKE_BROKER_TLS__KEY=%d/key"
        "EnvironmentFile=/run/secrets/env\n"
      ];
    "a certificate of security.acme" =
      let
        config = evaluate {
          services.snowflake-broker = {
            enable = true;
            useACMEHost = "broker.example";
          };
          security.acme = {
            acceptTerms = true;
            defaults.email = "a@b.example";
            certs."broker.example".webroot = "/var/lib/acme/challenges";
          };
        };
      in
      failures config == [ ]
      && (service config).serviceConfig.SupplementaryGroups == [ "acme" ]
      && config.services.snowflake-broker.settings.tls.key == "/var/lib/acme/broker.example/key.pem"
      && config.security.acme.certs."broker.example".reloadServices == [ "snowflake-broker.service" ];
    "the countries are those of nixpkgs' tor, or none" =
      lib.hasSuffix "/share/tor/geoip6" (withSettings clear)
      .services.snowflake-broker.settings.geoip.geoip6db
      && (broker {
        settings = clear;
        geoip = null;
      }).services.snowflake-broker.settings.geoip.disable;
    "an unsafe broker is refused, with the option's name" =
      lib.any (lib.hasPrefix "services.snowflake-broker.settings.admin.listen: ")
        (failures (withSettings (clear // { admin.listen = ":9443"; })));
    "doubts are warnings" =
      ours
        (broker {
          settings = clear;
          openFirewall = true;
        }).warnings != [ ];
    "keys without a typed option can be set" =
      (withSettings (clear // { limits.exempt = [ "192.0.2.0/24" ]; }))
      .services.snowflake-broker.settings.limits.exempt == [ "192.0.2.0/24" ];

    "wrong types are refused" = lib.all isSettingRefused [
      { tls.disable = "yes"; }
      { listener.addr = 443; }
      { acme.hostnames = "broker.example"; }
      { operator.listen = 9580; }
      { admin.listen = [ 9443 ]; }
      { http.amp = "yes"; }
      { limits.unconfirmed_factor = "ten"; }
      { poll_interval.mode = "quick"; }
      { telemetry.log_format = "xml"; }
      {
        admin.tokens = [
          {
            name = "a";
            role = "root";
            file = "/a";
          }
        ];
      }
    ];
    "files that are not in the store are not refused" =
      !isSettingRefused {
        tls.key = "/run/secrets/key";
        tls.cert = ./example.nix;
        admin.tls.key = "%d/key";
      }
      && !isRefused {
        environmentFile = "/run/secrets/env";
        credentials.a = "/run/secrets/a";
      };
    "no secret is copied to the store" =
      isSettingRefused { tls.key = ./example.nix; }
      && isSettingRefused { tls.key = "${./example.nix}"; }
      && isRefused { environmentFile = ./example.nix; }
      && isRefused { credentials.a = ./example.nix; };
    "bridges have a fingerprint" =
      let
        bridge = fingerprint: {
          bridges = [
            {
              displayName = "mine";
              webSocketAddress = "wss://bridge.example/";
              inherit fingerprint;
            }
          ];
        };
      in
      isRefused (bridge "2B28")
      && isRefused (bridge "2B280B23E1107BB62ABFC40DDCC8824814F80A7200")
      && !isRefused (bridge "2B280B23E1107BB62ABFC40DDCC8824814F80A72")
      && !isRefused (bridge "2B280B23E1107BB62ABFC40DDCC8824814F80A720123456789ABCDEF01234567");
    "the table in the documentation lists all options" =
      lib.sort lib.lessThan (map (row: row.name) (import ./options-doc.nix).all) == optionNames;
  }
  // import ./from-settings-test.nix;

  # The names of all options.
  optionNames =
    let
      options =
        (lib.evalModules {
          modules = [
            {
              options = import ./options.nix {
                inherit lib;
                pkgs = { };
                settingsType = lib.types.attrs;
              };
            }
          ];
        }).options;
      all = lib.optionAttrSetToDocList (removeAttrs options [ "_module" ]);
    in
    lib.sort lib.lessThan (
      map (option: option.name) (lib.filter (option: option.visible && !option.internal) all)
    );

  failed = lib.attrNames (lib.filterAttrs (_: holds: !holds) tests);
in
if failed == [ ] then
  runCommand "module-eval" { } "echo ${toString (lib.length (lib.attrNames tests))} tests > $out"
else
  throw "of the module's tests fail: ${lib.concatStringsSep "; " failed}"

# The options of services.snowflake-broker.
{
  lib,
  pkgs,
  # The type of freeform settings.
  settingsType,
}:

let
  inherit (lib) mkOption types;
  units = import ./units.nix;
in
{
  enable = lib.mkEnableOption "a Snowflake broker, which introduces censored clients to volunteer proxies";

  package = mkOption {
    type = types.package;
    default = pkgs.snowflake-broker or (pkgs.callPackage ./package.nix { });
    defaultText = lib.literalExpression "pkgs.snowflake-broker or (pkgs.callPackage ./package.nix { })";
    description = ''
      The package to run. Default: `pkgs.snowflake-broker` if an overlay provides it, else
      this repository's package, built with the machine's nixpkgs.
    '';
  };

  settings = mkOption {
    type = types.submodule {
      freeformType = settingsType;
      options = import ./settings.nix { inherit lib; };
    };
    default = { };
    example = {
      acme.hostnames = [ "broker.example.org" ];
      acme.email = "you@example.org";
    };
    description = ''
      The configuration. All keys from the README may be set, not only those listed below.
      The generated file is world-readable: refer to secrets by file path, or as `%d/NAME`
      to an entry of `credentials`.
    '';
  };

  extraConfigFiles = mkOption {
    type = types.listOf (types.either (types.strMatching "%d/[^/]+") types.externalPath);
    default = [ ];
    example = [ "%d/more.toml" ];
    description = ''
      Additional configuration files. Each overrides the earlier ones and `settings`. The
      service must be able to read them; a file in `credentials` is written as `%d/NAME`.
      A reload reads them again, except for credentials.
    '';
  };

  environment = mkOption {
    type = types.attrsOf types.str;
    default = { };
    example = {
      OTEL_EXPORTER_OTLP_ENDPOINT = "http://localhost:4318";
    };
    description = ''
      Environment variables, which override all configuration files. They are
      world-readable. `%d` in a value stands for the credentials directory.
    '';
  };

  environmentFile = mkOption {
    type = types.nullOr types.externalPath;
    default = null;
    example = "/run/secrets/snowflake-broker.env";
    description = ''
      File with secret environment variables, such as `SNOWFLAKE_BROKER_OTEL__HEADERS`. If
      the file is missing, the service does not start.
    '';
  };

  extraArgs = mkOption {
    type = types.listOf types.str;
    default = [ ];
    example = [ "--unsafe-logging" ];
    description = "Command-line flags, which override everything else. A value may refer to `credentials` as `%d/NAME`.";
  };

  credentials = mkOption {
    type = types.attrsOf types.externalPath;
    default = { };
    example = {
      watcher-token = "/run/secrets/watcher-token";
    };
    description = ''
      Files that only root needs to be able to read, by names of your choice. The broker
      gets a copy, which `settings`, `extraConfigFiles` and `extraArgs` refer to as
      `%d/NAME`. systemd copies them when the service starts, not on reload.
    '';
  };

  useACMEHost = mkOption {
    type = types.nullOr types.str;
    default = null;
    example = "broker.example.org";
    description = ''
      Name of a certificate in `security.acme.certs` to use instead of one that the broker
      orders itself. The service joins the certificate's group and loads renewed
      certificates without a restart.
    '';
  };

  bridges = mkOption {
    type = types.listOf (
      types.submodule {
        options = {
          displayName = mkOption {
            type = types.str;
            description = "Name for humans.";
          };
          webSocketAddress = mkOption {
            type = types.strMatching "wss?://.+";
            example = "wss://snowflake.example.org/";
            description = "WebSocket URL that proxies connect to.";
          };
          fingerprint = mkOption {
            type = types.strMatching "[0-9a-fA-F]{40}([0-9a-fA-F]{24})?";
            description = "Fingerprint that clients send to choose this bridge: 40 or 64 hex digits.";
          };
          weight = mkOption {
            type = types.nullOr (types.numbers.between 0 1000000);
            default = null;
            description = "Share of the bridge's clients, relative to its other addresses: those with the same fingerprint. Default: 1.";
          };
          state = mkOption {
            type = types.nullOr (
              types.enum [
                "up"
                "drain"
                "down"
              ]
            );
            default = null;
            description = "up: takes new clients. drain: keeps those that it has. down: serves nobody. Default: up.";
          };
        };
      }
    );
    default = [ ];
    example = [
      {
        displayName = "mine";
        webSocketAddress = "wss://snowflake.example.org/";
        fingerprint = "0123456789ABCDEF0123456789ABCDEF01234567";
      }
    ];
    description = ''
      Bridges to use instead of the Tor Project's. `settings.broker.allowed_relay_pattern`
      must match their host names, or no proxy would serve them.
    '';
  };

  geoip = mkOption {
    type = types.nullOr types.package;
    default = pkgs.tor.geoip;
    defaultText = lib.literalExpression "pkgs.tor.geoip";
    description = ''
      Package with country databases in `share/tor`. If null, countries are unknown unless
      `settings.geoip` names other databases.
    '';
  };

  socketActivation = mkOption {
    type = types.bool;
    default = true;
    description = ''
      Let systemd open the public, federation and administration sockets and keep them
      open, so that no connection is refused during a restart. When an address changes, the
      socket is restarted with the broker. If false, the broker opens the sockets itself,
      with the capability for ports below 1024 if needed.
    '';
  };

  openFirewall = mkOption {
    type = types.bool;
    default = false;
    description = ''
      Open the public ports in the firewall: `listener.addr`, `federation.listen`, `probe.listen`
      and, if it is used, `acme.http_addr`. NAT probes need no open UDP port. The ports of the
      administration, operators and the status page are never opened.
    '';
  };

  memoryHigh = mkOption {
    type = types.str;
    default = units.memory.high;
    example = "1G";
    description = ''
      Soft memory limit of the service, a size or a share of the machine's memory. Above
      it, the kernel slows the broker down.
    '';
  };

  memoryMax = mkOption {
    type = types.str;
    default = units.memory.max;
    example = "1200M";
    description = ''
      Hard memory limit of the service. Above it, the kernel kills the broker, and systemd
      restarts it.
    '';
  };

  checkConfig = mkOption {
    type = types.bool;
    default = true;
    description = ''
      Check the configuration with the broker at build time: settings, variables and flags,
      but not the files that they name. Turn this off if the check fails because required
      values are in `extraConfigFiles` or `environmentFile`.
    '';
  };
}

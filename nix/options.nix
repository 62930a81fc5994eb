# The options of services.snowflake-broker.
{
  lib,
  pkgs,
  # What freeform settings may be.
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
      The package with the program: that of an overlay, if there is one, else that of
      this repository, for the machine's own nixpkgs.
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
      The configuration, see the README. Not only the keys below may be set, but all of
      them. Everybody can read the file that becomes of it: name secrets by the paths of
      files, or as `%d/NAME` those in `credentials`.
    '';
  };

  extraConfigFiles = mkOption {
    type = types.listOf (types.either (types.strMatching "%d/[^/]+") types.externalPath);
    default = [ ];
    example = [ "%d/more.toml" ];
    description = ''
      More configuration files, each over those before it and over `settings`. The
      service has to be able to read them, or they are in `credentials`, as `%d/NAME`.
      They are read again at each reload, credentials excepted.
    '';
  };

  environment = mkOption {
    type = types.attrsOf types.str;
    default = { };
    example = {
      OTEL_EXPORTER_OTLP_ENDPOINT = "http://localhost:4318";
    };
    description = ''
      Variables of the environment, over all files. Everybody can read them. `%d` in a
      value is the directory of the credentials.
    '';
  };

  environmentFile = mkOption {
    type = types.nullOr types.externalPath;
    default = null;
    example = "/run/secrets/snowflake-broker.env";
    description = ''
      A file with secret variables, such as `SNOWFLAKE_BROKER_OTEL__HEADERS`. Without it
      the service does not start.
    '';
  };

  extraArgs = mkOption {
    type = types.listOf types.str;
    default = [ ];
    example = [ "--unsafe-logging" ];
    description = "Flags, over everything else; a value may be `%d/NAME`, of `credentials`.";
  };

  credentials = mkOption {
    type = types.attrsOf types.externalPath;
    default = { };
    example = {
      watcher-token = "/run/secrets/watcher-token";
    };
    description = ''
      Files that only root can read and the broker gets a copy of, by names of your own.
      `settings`, `extraConfigFiles` and `extraArgs` have them as `%d/NAME`. systemd reads them at a start, not at a reload.
    '';
  };

  useACMEHost = mkOption {
    type = types.nullOr types.str;
    default = null;
    example = "broker.example.org";
    description = ''
      Use the certificate of this name in `security.acme.certs`, not one that the broker
      orders itself. The service joins its group, and a renewed one is taken over without
      a restart.
    '';
  };

  bridges = mkOption {
    type = types.listOf (
      types.submodule {
        options = {
          displayName = mkOption {
            type = types.str;
            description = "A name for people.";
          };
          webSocketAddress = mkOption {
            type = types.strMatching "wss?://.+";
            example = "wss://snowflake.example.org/";
            description = "Where proxies find it.";
          };
          fingerprint = mkOption {
            type = types.strMatching "[0-9a-fA-F]{40}([0-9a-fA-F]{24})?";
            description = "The fingerprint by which clients ask for it, 40 or 64 hex digits.";
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
      The bridges, in place of the Tor Project's. `settings.broker.allowed_relay_pattern`
      has to cover their host names, or no proxy would serve them.
    '';
  };

  geoip = mkOption {
    type = types.nullOr types.package;
    default = pkgs.tor.geoip;
    defaultText = lib.literalExpression "pkgs.tor.geoip";
    description = ''
      The country databases, in its `share/tor`. With null countries stay unknown, unless
      `settings.geoip` names others.
    '';
  };

  socketActivation = mkOption {
    type = types.bool;
    default = true;
    description = ''
      Have systemd open the sockets for the public, for other brokers and for the
      administration, and keep them open, so that a restart refuses no connection. When
      one is to listen elsewhere, it is restarted with the broker. Without this the broker
      opens them, and has the capability that a port below 1024 needs.
    '';
  };

  openFirewall = mkOption {
    type = types.bool;
    default = false;
    description = ''
      Let others reach the public ports: `listener.addr`, `acme.http_addr` if it is used,
      `federation.listen`. Neither the administration nor what is for operators ever is among them.
    '';
  };

  memoryHigh = mkOption {
    type = types.str;
    default = units.memory.high;
    example = "1G";
    description = ''
      How much memory the service should have, a size or a share of the machine's: over
      it the kernel slows the broker down.
    '';
  };

  memoryMax = mkOption {
    type = types.str;
    default = units.memory.max;
    example = "1200M";
    description = ''
      How much memory the service may have at most: over it the kernel ends the broker,
      and systemd starts it anew.
    '';
  };

  checkConfig = mkOption {
    type = types.bool;
    default = true;
    description = ''
      Have the broker check the configuration while the system is built: the settings,
      variables and flags, but not the files that they name. Switch it off where
      `extraConfigFiles` or `environmentFile` have what it misses.
    '';
  };
}

# The files of contrib/systemd: the same units, for other distributions.
let
  units = import ./units.nix;

  word =
    value:
    if value == true then
      "yes"
    else if value == false then
      "no"
    else
      toString value;

  concat = builtins.concatStringsSep "";

  # A directive, repeated for each value of a list.
  directive =
    name: value:
    if builtins.isList value then concat (map (directive name) value) else "${name}=${word value}\n";

  section =
    name: directives:
    "[${name}]\n" + concat (builtins.attrValues (builtins.mapAttrs directive directives));

  words = names: if names == [ ] then [ ] else [ (builtins.concatStringsSep " " names) ];

  variables = set: builtins.attrValues (builtins.mapAttrs (name: value: "${name}=${value}") set);

  about = unit: {
    Description = unit.description;
    Documentation = words unit.documentation;
  };

  file =
    sections:
    "# Generated from nix/units.nix by nix/check --write.\n\n"
    + builtins.concatStringsSep "\n" sections;

  serviceFile =
    unit:
    file [
      (section "Unit" (
        about unit
        // {
          Wants = words unit.wants;
          After = words unit.after;
          Requires = words unit.requires;
          StartLimitIntervalSec = unit.startLimitIntervalSec;
        }
      ))
      (section "Service" ({ Environment = variables unit.environment; } // unit.serviceConfig))
      (section "Install" { WantedBy = "multi-user.target"; })
    ];

  socketFile =
    unit:
    file [
      (section "Unit" (about unit))
      (section "Socket" ({ ListenStream = unit.listenStreams; } // unit.socketConfig))
      (section "Install" { WantedBy = words unit.wantedBy; })
    ];
in
{
  inherit section;

  files = {
    "snowflake-broker.service" = serviceFile (
      units.service {
        command = "/usr/bin/snowflake-broker --config /etc/snowflake-broker/config.toml";
        privilegedPort = false;
        passes = [
          "http"
          "admin"
        ];
      }
    );
    "snowflake-broker.socket" = socketFile (units.sockets.http [ "443" ]);
    "snowflake-broker-admin.socket" = socketFile (
      units.sockets.admin [ "/run/snowflake-broker/admin.sock" ]
    );
    "snowflake-broker-acme.socket" = socketFile (units.sockets.acme [ "80" ]);
    "snowflake-broker-federation.socket" = socketFile (units.sockets.federation [ "7443" ]);
    # For snowflake-broker.service.d on systemd before 253.
    "systemd-252.conf" = file [
      (section "Service" {
        Type = "notify";
        # Debian may lack the program kill; the shell has its own.
        ExecReload = "/bin/sh -c 'kill -HUP $MAINPID'";
      })
    ];
    "snowflake-broker.sysusers.conf" = "g ${units.operators} -\n";
  };
}

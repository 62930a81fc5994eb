# The table of the module's options in docs/nixos.md. It needs no nixpkgs: each type is
# its name and, if it has any, the options in it.
let
  inherit (import ./stand-ins.nix { }) lib;
  concat = builtins.concatStringsSep;

  options = import ./options.nix {
    inherit lib;
    pkgs = throw "the table of options needs no package";
    settingsType = null;
  };

  # One row for each option, in the order of their names.
  rows =
    path: option:
    if option ? isOption then
      [
        {
          name = path;
          inherit option;
        }
      ]
      ++ rowsIn (path + (if option.type ? isList then ".*" else "")) (option.type.options or { })
    else
      rowsIn path option;
  rowsIn =
    path: options:
    builtins.concatMap (name: rows (if path == "" then name else "${path}.${name}") options.${name}) (
      builtins.attrNames options
    );

  default =
    option:
    if option ? defaultText then
      "`${option.defaultText}`"
    else if option ? default then
      "`${builtins.toJSON option.default}`"
    else
      "has to be set";

  # As one cell of a row.
  cell =
    text:
    concat "\\|" (strings "\\|" (concat " " (builtins.filter (line: line != "") (strings "\n" text))));
  strings = separator: text: builtins.filter builtins.isString (builtins.split separator text);

  row =
    { name, option }:
    "| `${name}` | ${cell option.type.name} | ${default option} | ${cell option.description} |\n";
in
rec {
  all = rowsIn "" options;
  # The settings as they are when nobody sets any.
  defaults =
    let
      default =
        option: if option ? isOption then option.default else builtins.mapAttrs (_: default) option;
    in
    builtins.mapAttrs (_: default) options.settings.type.options;

  # The same as the broker is to read them.
  rendered = (import ./from-settings.nix { settings = defaults; }).rendered;

  table = "| option | type | default | what |\n| --- | --- | --- | --- |\n" + concat "" (map row all);
}

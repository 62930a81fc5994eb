# The table of the module's options in docs/nixos.md. It needs no nixpkgs: a type consists
# of its name and, for a submodule, its options.
let
  inherit (import ./stand-ins.nix { }) lib;
  concat = builtins.concatStringsSep;

  options = import ./options.nix {
    inherit lib;
    pkgs = throw "the table of options needs no package";
    settingsType = null;
  };

  # One row per option, sorted by name.
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
      "required";

  # The text as one cell of a row.
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
  # The default settings.
  defaults =
    let
      default =
        option: if option ? isOption then option.default else builtins.mapAttrs (_: default) option;
    in
    builtins.mapAttrs (_: default) options.settings.type.options;

  # The default settings as the broker reads them.
  rendered = (import ./from-settings.nix { settings = defaults; }).rendered;

  table =
    "| option | type | default | description |\n| --- | --- | --- | --- |\n" + concat "" (map row all);
}

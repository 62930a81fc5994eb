# Renders a set as TOML, with each section as an inline table: for tests without nixpkgs.
set:

let
  # Strings, numbers and booleans are the same in JSON and TOML.
  value =
    it:
    if builtins.isAttrs it then
      "{ ${list (pair " = ") it} }"
    else if builtins.isList it then
      "[ ${builtins.concatStringsSep ", " (map value it)} ]"
    else
      builtins.toJSON it;
  pair =
    between: name: it:
    "${builtins.toJSON name}${between}${value it}";
  list = one: it: builtins.concatStringsSep ", " (builtins.attrValues (builtins.mapAttrs one it));
in
builtins.concatStringsSep "" (
  builtins.attrValues (builtins.mapAttrs (name: it: "${pair " = " name it}\n") set)
)

//! The parts of the script in which nothing changes but `$scope`.

/// Checks the scope, takes away what contradicts the policies, and what an earlier run made.
pub(super) const PREPARE: &str = r"
Import-Module DhcpServer
Get-DhcpServerv4Scope -ScopeId $scope | Out-Null

# Options of the whole scope reach every machine: shown, saved for the undo, removed.
# What the first run saved stays: it is what was there before Moxxie.
$saved = Join-Path $env:ProgramData ('moxxie-dhcp-' + $scope + '.xml')
$old = @(foreach ($id in 60, 67) {
    Get-DhcpServerv4OptionValue -ScopeId $scope -OptionId $id -ErrorAction SilentlyContinue
})
if ($old.Count -gt 0) {
    if (-not (Test-Path $saved)) { $old | Export-Clixml -Path $saved }
    foreach ($option in $old) {
        Write-Warning ('option ' + $option.OptionId + ' of the scope was ' + $option.Value + ': removed; ' + $saved + ' has what was there before the first run')
        Remove-DhcpServerv4OptionValue -ScopeId $scope -OptionId $option.OptionId
    }
}
$option = Get-DhcpServerv4OptionValue -ScopeId $scope -OptionId 66 -ErrorAction SilentlyContinue
if ($option) {
    Write-Warning ('option 66 of the scope is ' + $option.Value + ': it stays, and machines that no policy fits get it')
}
foreach ($id in 60, 67) {
    if (Get-DhcpServerv4OptionValue -OptionId $id -ErrorAction SilentlyContinue) {
        Write-Warning ('option ' + $id + ' is set for the whole server and reaches machines of this scope, too: remove it if nobody needs it')
    }
}

# What an earlier run made.
Get-DhcpServerv4Policy -ScopeId $scope -ErrorAction SilentlyContinue |
    Where-Object { $_.Name -like 'moxxie-*' } |
    ForEach-Object { Remove-DhcpServerv4Policy -ScopeId $scope -Name $_.Name }

# The name of the class with this data, made if there is none: the server has each data once.
function Get-MoxxieClass([string] $type, [string] $data, [string] $name) {
    $class = Get-DhcpServerv4Class -Type $type -ErrorAction SilentlyContinue |
        Where-Object { $_.AsciiData -ceq $data } |
        Select-Object -First 1
    if ($class) { return $class.Name }
    Add-DhcpServerv4Class -Type $type -Name $name -Data $data -Description 'moxxie'
    return $name
}
";

/// The definition that Windows lacks.
pub(super) const DEFINE_60: &str = r"
# Windows knows no option 60 until somebody defines it.
if (-not (Get-DhcpServerv4OptionDefinition -OptionId 60 -ErrorAction SilentlyContinue)) {
    Add-DhcpServerv4OptionDefinition -OptionId 60 -Name 'moxxie-vendor-class' -Description 'moxxie' -Type String
}
";

/// Makes way for fixed addresses.
pub(super) const RESERVE: &str = r"
# Fixed addresses. Reservations that somebody else made stay as they are.
Get-DhcpServerv4Reservation -ScopeId $scope -ErrorAction SilentlyContinue |
    Where-Object { $_.Description -eq 'moxxie' } |
    ForEach-Object { Remove-DhcpServerv4Reservation -ScopeId $scope -ClientId $_.ClientId }
function Add-MoxxieReservation([string] $address, [string] $mac, [string] $name) {
    $taken = Get-DhcpServerv4Reservation -ScopeId $scope -ErrorAction SilentlyContinue |
        Where-Object { ($_.IPAddress.ToString() -eq $address) -or ($_.ClientId -eq $mac) }
    if ($taken) {
        Write-Warning ($address + ' or ' + $mac + ' is reserved already, ' + $name + ' is left out')
        return
    }
    Add-DhcpServerv4Reservation -ScopeId $scope -IPAddress $address -ClientId $mac -Name $name -Description 'moxxie'
}
";

/// Classes belong to the whole server: they go when no policy of any scope uses them.
pub(super) const UNDO: &str = r"
Import-Module DhcpServer
Get-DhcpServerv4Policy -ScopeId $scope -ErrorAction SilentlyContinue |
    Where-Object { $_.Name -like 'moxxie-*' } |
    ForEach-Object { Remove-DhcpServerv4Policy -ScopeId $scope -Name $_.Name }
Get-DhcpServerv4Reservation -ScopeId $scope -ErrorAction SilentlyContinue |
    Where-Object { $_.Description -eq 'moxxie' } |
    ForEach-Object { Remove-DhcpServerv4Reservation -ScopeId $scope -ClientId $_.ClientId }

# The options of the scope that the script removed.
$saved = Join-Path $env:ProgramData ('moxxie-dhcp-' + $scope + '.xml')
if (Test-Path $saved) {
    foreach ($option in Import-Clixml -Path $saved) {
        Set-DhcpServerv4OptionValue -ScopeId $scope -OptionId $option.OptionId -Value $option.Value
    }
    Remove-Item $saved
}

# Classes and option 60 belong to the whole server: they go when no policy is left that uses them.
$left = @(Get-DhcpServerv4Policy -ErrorAction SilentlyContinue)
foreach ($other in Get-DhcpServerv4Scope) {
    $left += @(Get-DhcpServerv4Policy -ScopeId $other.ScopeId -ErrorAction SilentlyContinue)
}
$used = @($left | ForEach-Object { $_.VendorClass; $_.UserClass })
foreach ($type in 'Vendor', 'User') {
    Get-DhcpServerv4Class -Type $type -ErrorAction SilentlyContinue |
        Where-Object { $_.Description -eq 'moxxie' } |
        Where-Object { ($used -notcontains $_.Name) -and ($used -notcontains ($_.Name + '*')) } |
        ForEach-Object { Remove-DhcpServerv4Class -Type $type -Name $_.Name }
}
if (-not ($left | Where-Object { $_.Name -like 'moxxie-*' })) {
    Get-DhcpServerv4OptionDefinition -OptionId 60 -ErrorAction SilentlyContinue |
        Where-Object { $_.Name -eq 'moxxie-vendor-class' } |
        ForEach-Object { Remove-DhcpServerv4OptionDefinition -OptionId 60 }
}
";
